"""Nested values as a JSON document and arrays.

What JSON has no word for is an object with one key that begins with `$`:

| object | value |
|---|---|
| `{"$tensor": name, "device": "cuda:0"}` | a torch tensor; `"complex": true` if pairs |
| `{"$array": name, "type": "float64"}` | a numpy array, `"scalar": true` for a number |
| `{"$float": "nan"}` | a float that JSON does not know |
| `{"$tuple": [...]}`, `{"$set": [...]}`, `{"$deque": [...]}` | these |
| `{"$dict": [[key, value], ...], "type": "Counter"}` | a mapping with keys other than plain text |
| `{"$bytes": "..."}`, `{"$dtype": "float32"}`, `{"$device": "cpu"}` | these; bytes as base64 |
| `{"$object": kind, "state": ...}` | the state of an object that is put back, not made |
"""

from __future__ import annotations

import base64
import math
import sys
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tuner.checkpoint import arrays as numbers
from tuner.checkpoint.file import Array
from tuner.errors import InvalidInput

CAN_BE_SAVED = (
    "A checkpoint can hold modules, optimizers, schedulers and other objects with state_dict and "
    "load_state_dict, DataLoaders, torch's, numpy's and Python's random generators, tensors, numpy "
    "arrays, numbers, strings, bytes, None, and lists, tuples, sets and dicts of these"
)


@dataclass(frozen=True, kw_only=True)
class Saved:
    """The state of an object, as it was saved."""

    kind: str
    state: Any


class Packer:
    """Turns values into a JSON document, setting their arrays aside in `arrays`.

    Args:
        capture: returns the state of an object that is no plain value, or None.
    """

    def __init__(self, capture: Callable[[Any, str], Saved | None]) -> None:
        self.arrays: dict[str, Array] = {}
        self._capture = capture
        self._places: dict[tuple[Any, ...], str] = {}
        self._alive: list[Any] = []

    def pack(self, value: Any, where: str) -> Any:
        """Return the document of a value.

        Args:
            value: what to save.
            where: its path, for names of arrays and for errors.

        Raises:
            InvalidInput: something in it can't be saved.
        """
        try:
            return self._pack(value, where)
        except RecursionError as problem:
            raise InvalidInput(f"{where} is nested too deeply, or holds itself") from problem

    def _pack(self, value: Any, where: str) -> Any:
        if numbers.is_tensor(value):
            return self._tensor(value, where)
        if numbers.is_numpy(value):
            return self._numpy(value, where)
        for kind, plain in _PLAIN:
            if isinstance(value, kind):
                return plain(value)
        if isinstance(value, Mapping):
            return self._mapping(value, where)
        sequence = isinstance(value, list | tuple | deque | set | frozenset)
        return self._sequence(value, where) if sequence else self._other(value, where)

    def _tensor(self, value: Any, where: str) -> Any:
        numbers.refuse_odd(value, where)
        place = numbers.place(value)
        name = self._places.get(place) if value.numel() else None
        if name is None:
            name = self._add(where, numbers.from_tensor(value, where))
            self._places[place] = name
            self._alive.append(value)  # so that no other tensor takes its memory meanwhile
        found = {"$tensor": name}
        if value.device.type != "cpu":
            found["device"] = str(value.device)
        return found | ({"complex": True} if value.is_complex() else {})

    def _numpy(self, value: Any, where: str) -> Any:
        array, kind = numbers.from_numpy(value, where)
        found = {"$array": self._add(where, array), "type": kind}
        return found if hasattr(value, "__setitem__") else found | {"scalar": True}

    def _add(self, where: str, array: Array) -> str:
        name, again = where, 1
        while name in self.arrays or name == "__metadata__":
            again += 1
            name = f"{where}#{again}"
        self.arrays[name] = array
        return name

    def _mapping(self, value: Mapping[Any, Any], where: str) -> Any:
        kind = type(value).__name__ if isinstance(value, Counter | OrderedDict) else None
        simple = all(isinstance(key, str) and not key.startswith("$") for key in value)
        if simple and kind != "Counter":
            return {str(key): self._pack(one, f"{where}/{key}") for key, one in value.items()}
        pairs = [
            [self._pack(key, f"{where}/key"), self._pack(one, f"{where}/{key}")]
            for key, one in value.items()
        ]
        return {"$dict": pairs} | ({"type": kind} if kind == "Counter" else {})

    def _sequence(self, value: Any, where: str) -> Any:
        items = [self._pack(one, f"{where}/{number}") for number, one in enumerate(value)]
        if isinstance(value, list):
            return items
        kind = next(name for name, one in _SEQUENCES.items() if isinstance(value, one))
        return {f"${kind}": items}

    def _other(self, value: Any, where: str) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(value, torch.dtype):
            return {"$dtype": str(value).removeprefix("torch.")}
        if torch is not None and isinstance(value, torch.device):
            return {"$device": str(value)}
        saved = self._capture(value, where)
        if saved is None:
            kind = f"{type(value).__module__}.{type(value).__qualname__}"
            raise InvalidInput(f"{where} is a {kind}, which can't be saved. {CAN_BE_SAVED}")
        return {"$object": saved.kind, "state": self._pack(saved.state, where)}


def _float(value: float) -> Any:
    return float(value) if math.isfinite(value) else {"$float": repr(float(value))}


_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (type(None), lambda value: value),
    (bool, bool),
    (str, str.__str__),
    (int, int),
    (float, _float),
    (bytes, lambda value: {"$bytes": base64.b64encode(value).decode()}),
)
_SEQUENCES: dict[str, type | tuple[type, ...]] = {
    "tuple": tuple,
    "deque": deque,
    "set": (set, frozenset),
}


class Unpacker:
    """Turns a JSON document and its arrays back into values.

    Tensors that were one are one again. They are on the device they were on, if this machine has
    it, and on the CPU where they are an object's state, which the object takes where it needs it.

    Raises:
        ValueError, KeyError, TypeError: the document is none that `Packer` writes.
    """

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self._tensors: dict[str, Any] = {}
        self._inside = 0
        self._makers: dict[str, Callable[[Any, Mapping[str, Any]], Any]] = {
            "$tensor": self._tensor,
            "$array": self._numpy,
            "$float": lambda text, _: float(text),
            "$tuple": lambda items, _: tuple(map(self.unpack, items)),
            "$set": lambda items, _: set(map(self.unpack, items)),
            "$deque": lambda items, _: deque(map(self.unpack, items)),
            "$dict": self._dict,
            "$bytes": lambda text, _: base64.b64decode(text, validate=True),
            "$dtype": lambda text, _: _dtype(text),
            "$device": lambda text, _: _device(text),
            "$object": self._object,
        }

    def unpack(self, document: Any) -> Any:
        """Return the value of a document."""
        if isinstance(document, list):
            return [self.unpack(one) for one in document]
        if not isinstance(document, dict):
            return document
        tag = next((key for key in document if key.startswith("$")), None)
        if tag is None:
            return {key: self.unpack(one) for key, one in document.items()}
        if tag not in self._makers:
            raise ValueError(f"{tag} is unknown; a newer version of tuner may have written it")
        return self._makers[tag](document[tag], document)

    def _tensor(self, name: str, about: Mapping[str, Any]) -> Any:
        if name not in self._tensors:
            pairs = bool(about.get("complex"))
            self._tensors[name] = numbers.to_tensor(self._arrays[name], complex_pairs=pairs)
        if self._inside or "device" not in about:
            return self._tensors[name]
        return numbers.moved(self._tensors[name], about["device"])

    def _object(self, kind: str, about: Mapping[str, Any]) -> Saved:
        self._inside += 1
        try:
            return Saved(kind=kind, state=self.unpack(about["state"]))
        finally:
            self._inside -= 1

    def _numpy(self, name: str, about: Mapping[str, Any]) -> Any:
        found = numbers.to_numpy(self._arrays[name], about["type"])
        return found[()] if about.get("scalar") else found

    def _dict(self, pairs: Any, about: Mapping[str, Any]) -> Any:
        found = {self.unpack(key): self.unpack(one) for key, one in pairs}
        return Counter(found) if about.get("type") == "Counter" else found


def _dtype(name: str) -> Any:
    import torch

    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name} is no type of numbers")  # noqa: TRY004 (one kind of bad file)
    return found


def _device(name: str) -> Any:
    import torch

    return torch.device(name)
