"""Reading reports out of what a program prints: lines, and what a declared pattern finds in them.

A template is the line as people read it, with fields in braces: `epoch {step}/* val_loss {value}`.
Spaces stand for any white space and `*` for any text; what stands before and after is free. It is
matched piece by piece from left to right, so that time grows with the line's length alone. A
pattern is a regular expression with named groups, searched for; its time is the caller's to bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tuner.errors import InvalidInput

LONGEST_LINE = 4096
"""Characters of a line that are looked at."""

STEP, VALUE = "step", "value"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]{0,99}")
_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|\*+|\s+|[^{}*\s]+")
# A number is taken whole or not at all: tried in parts, many in a row would take for ever.
_WHOLE = r"(?>[0-9]+)(?![0-9.]*[0-9])"
_NUMBER = (
    r"(?>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:nan|inf(?:inity)?))"
)
_SPACE = r"\s++"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a line says. `step` is None where the pattern names none."""

    step: int | None
    value: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class Reader:
    """Finds reports in lines.

    Args:
        pieces: regular expressions, each searched for after the end of the one before; the first
            group of each is its number.
        names: the names of the pieces' groups, in order.
        metric: the objective, which may stand for the value.

    Raises:
        InvalidInput: a name is no name, stands twice, or the value is missing.
    """

    def __init__(self, pieces: list[re.Pattern[str]], names: list[str], metric: str) -> None:
        for name in names:
            if not _NAME.fullmatch(name):
                raise InvalidInput(f"{{{name[:100]}}} is no field: name a step, value or metric")
        self._names = [VALUE if name == metric else name for name in names]
        twice = next((n for n in self._names if self._names.count(n) > 1), None)
        if twice is not None:
            raise InvalidInput(f"the field {twice!r} stands twice")
        if VALUE not in self._names:
            raise InvalidInput(f"the objective is missing: name a field {VALUE!r} or {metric!r}")
        self._pieces = pieces

    def read(self, line: str) -> Found | None:
        """Return what a line says, None if it is none of these."""
        line = _CONTROL.sub("", line[:LONGEST_LINE])
        at = 0
        texts: list[str | None] = []
        for piece in self._pieces:
            match = piece.search(line, at)
            if match is None:
                return None
            texts += match.groups() if not piece.groupindex else _named(match)
            at = match.end()
        try:
            return self._found(dict(zip(self._names, texts, strict=True)))
        except ValueError:
            return None

    def _found(self, texts: dict[str, str | None]) -> Found | None:
        value = texts.pop(VALUE)
        step = texts.pop(STEP, None)
        if value is None:
            return None
        metrics = {name: float(text) for name, text in texts.items() if text is not None}
        return Found(step=None if step is None else int(step), value=float(value), metrics=metrics)


def from_template(text: str, metric: str) -> Reader:
    """Return a reader of lines like `text`.

    Raises:
        InvalidInput: a brace stands alone, or a field is not valid.
    """
    names: list[str] = []
    pieces: list[str] = [""]
    for token in _PIECE.finditer(text.strip()):
        part = token[0]
        if part in ("{", "}"):
            raise InvalidInput(f"a single {part}; write {part * 2} for one")
        if token[1] is not None:
            names.append(token[1].strip())
            pieces[-1] += f"({_WHOLE if names[-1] == STEP else _NUMBER})"
        elif part.startswith("*"):
            pieces.append("")
        elif part.isspace():
            pieces[-1] += _SPACE
        else:
            pieces[-1] += re.escape(part[0] if part in ("{{", "}}") else part)
    trimmed = (one.removeprefix(_SPACE).removesuffix(_SPACE) for one in pieces)
    found = [piece for piece in trimmed if piece]
    # A piece that starts with a letter starts a word: "loss" is not found in "val_loss".
    whole = [(r"(?<!\w)" if re.match(r"\w", piece) else "") + piece for piece in found]
    return Reader([re.compile(piece, re.IGNORECASE) for piece in whole], names, metric)


def from_pattern(text: str, metric: str) -> Reader:
    """Return a reader that searches each line for a regular expression.

    Raises:
        InvalidInput: it is none, or its groups are not valid.
    """
    try:
        regex = re.compile(text)
    except (re.error, RecursionError, OverflowError) as exc:
        raise InvalidInput(f"this is no regular expression: {exc}") from exc
    names = sorted(regex.groupindex, key=lambda name: regex.groupindex[name])
    return Reader([regex], names, metric)


def _named(match: re.Match[str]) -> list[str | None]:
    index = match.re.groupindex
    return [match[name] for name in sorted(index, key=lambda name: index[name])]


class Splitter:
    """Cuts what a program prints into lines. A carriage return ends a line, too."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the lines that end in `data`; of a long one the beginning."""
        *whole, rest = _END.split(data)
        for part in whole:
            line, self._rest = (self._rest + part[: 4 * LONGEST_LINE]), b""
            if line:
                yield line.decode("utf-8", "replace")[:LONGEST_LINE]
        self._rest = (self._rest + rest)[: 4 * LONGEST_LINE]

    def end(self) -> Iterator[str]:
        """Yield the last line, if it has no end."""
        yield from self.feed(b"\n")
