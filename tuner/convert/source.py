"""A foreign document under conversion: what was used of it, and what could not be carried over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, NamedTuple

from tuner.errors import Fault, InvalidInput

Path = tuple[str | int, ...]
_NOTHING: Any = object()
_LARGEST = 1e100


class Remark(NamedTuple):
    """A place in the source, and what happened to what stands there."""

    where: str
    why: str


class Source:
    """A parsed document whose parts are marked as they are used.

    `left` is what could not be carried over, `changed` what was carried over with another meaning,
    `hints` what its owner should do now.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self._used: set[Path] = set()
        self.left: list[Remark] = []
        self.changed: list[Remark] = []
        self.hints: list[str] = []

    def peek(self, *path: str | int) -> Any:
        """Return what stands at a path without using it; None if nothing does."""
        found = self._find(path)
        return None if found is _NOTHING else found

    def _find(self, path: Path) -> Any:
        node = self._document
        for part in path:
            held = isinstance(node, dict) and part in node
            if not held and isinstance(node, list) and isinstance(part, int):
                held = part < len(node)
            if not held:
                return _NOTHING
            node = node[part]
        return node

    def use(self, *path: str | int) -> Any:
        """Return what stands at a path, all of it now used; None if nothing does."""
        self._used.add(path)
        return self.peek(*path)

    def text(self, *path: str | int) -> str | None:
        """Use a text. Raises InvalidInput if it is something else."""
        found = self.use(*path)
        if found is None or isinstance(found, str):
            return found
        if isinstance(found, bool | int | float):
            return str(found)
        raise fault(path, "should be a text")

    def number(self, *path: str | int) -> float | int | None:
        """Use a number, which may stand in quotes. Raises InvalidInput if it is something else."""
        found = self.use(*path)
        return None if found is None else number_of(found, path)

    def whole(self, *path: str | int) -> int | None:
        """Use a whole number. Raises InvalidInput if it is something else."""
        found = self.number(*path)
        if found is None or found == int(found):
            return None if found is None else int(found)
        raise fault(path, "should be a whole number")

    def mapping(self, *path: str | int) -> Mapping[str, Any]:
        """Return the mapping at a path, its parts not yet used; {} if nothing is there."""
        found = self.peek(*path)
        if found is None:
            self._used.add(path)
            return {}
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise fault(path, "should be a mapping of names to values")
        return found

    def items(self, *path: str | int) -> list[Any]:
        """Return the list at a path, its parts not yet used; [] if nothing is there."""
        found = self.peek(*path)
        if found is None:
            self._used.add(path)
            return []
        if not isinstance(found, list):
            raise fault(path, "should be a list")
        return found

    def leave(self, path: Path, why: str) -> None:
        """Note that what stands at a path is not carried over; nothing if nothing does."""
        if self._find(path) is not _NOTHING and path not in self._used:
            self.left.append(Remark(dotted(path), why))
        self._used.add(path)

    def change(self, path: Path, why: str) -> None:
        """Note that what stands at a path is carried over with another meaning."""
        self.changed.append(Remark(dotted(path), why))

    def hint(self, text: str) -> None:
        """Note what the document's owner should do."""
        if text not in self.hints:
            self.hints.append(text)

    def name_the_rest(self) -> None:
        """Note all that was not used."""
        ways = {used[:n] for used in self._used for n in range(len(used))}
        for path in self._unused((), ways):
            self.left.append(Remark(dotted(path), "has no counterpart here"))

    def _unused(self, path: Path, ways: Set[Path]) -> Iterator[Path]:
        """Yield the outermost places in which nothing was used; `ways` lead to what was."""
        if path in self._used:
            return
        if path not in ways:
            yield path
            return
        node = self.peek(*path)
        if node is not None and not isinstance(node, dict | list):
            yield path
            return
        for part in list(node) if isinstance(node, dict) else range(len(node or ())):
            yield from self._unused((*path, part), ways)


def number_of(found: object, path: Path) -> float | int:
    """Read a number, which may stand in quotes. Raises InvalidInput."""
    if isinstance(found, str):
        for kind in (int, float):
            try:
                return kind(found)
            except ValueError:
                continue
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise fault(path, f"should be a number, not {str(found)[:60]!r}")
    if not abs(found) <= _LARGEST:
        raise fault(path, "is too large a number, or none")
    return found


def fault(path: Path, message: str) -> InvalidInput:
    """Return the error that names a place."""
    where = dotted(path)
    return InvalidInput(f"{where}: {message}", [Fault(where=where, message=message)])


def dotted(path: Path) -> str:
    """Return a path as people write it."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{str(part)[:80]}"
    return text.removeprefix(".")
