"""Arrays and one JSON document in a file of the safetensors format.

The document is in the file's metadata, under `values`, beside the name of its `format`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tuner.errors import InvalidInput

_ALIGNMENT = 8
_LONGEST_HEADER = 100_000_000  # safetensors reads no longer one


@dataclass(frozen=True, kw_only=True)
class Array:
    """A dense array: safetensors' name of its type, its shape, and its bytes, row by row.

    In an array to write `data` may also be `bytes` of a memory that must not change meanwhile.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview | bytearray


def write(path: Path, format_name: str, values: Any, arrays: Mapping[str, Array]) -> None:
    """Write a file so that `path` holds all of it, or what it held before, after any crash.

    Raises:
        InvalidInput: the document is too long.
    """
    header = _header(format_name, values, arrays)
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            _write(file, header, arrays.values())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def read(path: Path) -> tuple[str, Any, dict[str, Array]]:
    """Return the name of a file's format, its document and its arrays.

    Raises:
        InvalidInput: there is no such file, or it is cut short or no checkpoint.
    """
    import safetensors

    try:
        content = path.read_bytes()  # once: safetensors' own reader opens a file twice
        parts = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
        values = json.loads(metadata["values"])
        name = metadata["format"]
    except (
        OSError,
        safetensors.SafetensorError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ) as problem:
        raise InvalidInput(f"the checkpoint {path.name} can't be read: {problem}") from problem
    arrays = {
        name: Array(dtype=part["dtype"], shape=tuple(part["shape"]), data=bytearray(part["data"]))
        for name, part in parts
    }
    return name, values, arrays


def _header(format_name: str, values: Any, arrays: Mapping[str, Array]) -> bytes:
    head: dict[str, Any] = {
        "__metadata__": {
            "format": format_name,
            "values": json.dumps(values, allow_nan=False, separators=(",", ":")),
        }
    }
    start = 0
    for name, array in arrays.items():
        end = start + len(array.data)
        head[name] = {
            "dtype": array.dtype,
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(head, separators=(",", ":")).encode()
    if len(text) > _LONGEST_HEADER - _ALIGNMENT:
        raise InvalidInput(
            f"the plain values take {len(text):,} bytes, more than the {_LONGEST_HEADER:,} that "
            "a checkpoint can hold: save long lists as tensors or arrays"
        )
    return text + b" " * (-len(text) % _ALIGNMENT)


def _write(file: BinaryIO, header: bytes, arrays: Iterable[Array]) -> None:
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for array in arrays:
        file.write(array.data)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
