"""Checkpoint files of the built-in trainer: `tuner.checkpoint`'s, and those of its first format.

In a file of the format `tuner-1` tensors are named by their path in the tree, joined by `/`; all
other values are the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tuner.checkpoint import arrays, file, snapshot
from tuner.errors import InvalidInput

OLD_FORMAT = "tuner-1"

Tree = dict[str, Any]


def save(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a tree so that `path` holds all of it, or what it held before, after any crash."""
    snapshot.write_tree(path, tree)


def load(path: Path) -> Tree:
    """Read a tree, its tensors on the CPU.

    Raises:
        InvalidInput: there is no such file, or it is cut short or no checkpoint.
    """
    format_name, values, parts = file.read(path)
    if format_name != OLD_FORMAT:
        return snapshot.unpack_tree(path, format_name, values, parts)
    if not isinstance(values, dict):
        raise InvalidInput(f"the checkpoint {path.name} is not in the format {OLD_FORMAT}")
    try:
        tensors = {name: arrays.to_tensor(part) for name, part in parts.items()}
    except ValueError as problem:
        raise InvalidInput(f"the checkpoint {path.name} can't be read: {problem}") from problem
    return _unpack(tensors, values)


def _unpack(tensors: Mapping[str, Tensor], values: Tree) -> Tree:
    for path, tensor in tensors.items():
        *folders, name = path.split("/")
        place = values
        for folder in folders:
            place = place.setdefault(folder, {})
            if not isinstance(place, dict):
                raise InvalidInput(f"the checkpoint holds both a value and tensors at {folder!r}")
        place[name] = tensor
    return values
