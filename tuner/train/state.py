"""Checkpoint files: a tree of tensors and plain values in one safetensors file.

Tensors are named by their path in the tree, joined by `/`. All other values are one JSON document
in the file's metadata, under `values`. Nothing in a file is code, so a file from anywhere is safe
to read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from tuner.errors import InvalidInput

FORMAT = "tuner-1"

Tree = dict[str, Any]

_UNREADABLE = (
    OSError,
    safetensors.SafetensorError,
    KeyError,
    TypeError,
    ValueError,
    RecursionError,
)


def save(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a tree so that `path` holds all of it, or what it held before, after any crash."""
    tensors, values = _pack(tree)
    metadata = {"format": FORMAT, "values": json.dumps(values)}
    content = safetensors.torch.save(tensors, metadata)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def load(path: Path) -> Tree:
    """Read a tree, its tensors on the CPU.

    Raises:
        InvalidInput: there is no such file, or it is cut short or no checkpoint.
    """
    try:
        content = path.read_bytes()  # once: safetensors' own reader opens a file twice
        tensors = safetensors.torch.load(content)
        metadata = _header(content).get("__metadata__") or {}
        values = json.loads(metadata["values"])
    except _UNREADABLE as problem:
        raise InvalidInput(f"the checkpoint {path.name} can't be read: {problem}") from problem
    if metadata.get("format") != FORMAT or not isinstance(values, dict):
        raise InvalidInput(f"the checkpoint {path.name} is not in the format {FORMAT}")
    return _unpack(tensors, values)


def _header(content: bytes) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header


def _pack(tree: Mapping[str, Any]) -> tuple[dict[str, Tensor], Tree]:
    tensors: dict[str, Tensor] = {}
    values: Tree = {}
    for name, item in tree.items():
        if isinstance(item, Tensor):
            # A copy of its own: safetensors refuses tensors that share memory.
            tensors[name] = item.detach().to("cpu", copy=True).contiguous()
        elif isinstance(item, Mapping):
            inner, values[name] = _pack(item)
            tensors |= {f"{name}/{path}": tensor for path, tensor in inner.items()}
        else:
            values[name] = item
    return tensors, values


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


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
