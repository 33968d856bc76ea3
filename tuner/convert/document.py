"""The result of a conversion, and how it is written."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tuner.convert.source import Remark

_WIDTH = 96


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A study document, and what became of the document it was made from.

    Args:
        kind: what was read.
        document: ours, valid.
        left: what could not be carried over.
        changed: what was carried over with another meaning, or assumed.
        hints: what is left to do.
    """

    kind: str
    document: dict[str, Any]
    left: tuple[Remark, ...]
    changed: tuple[Remark, ...]
    hints: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield what to tell its owner, a line each."""
        for title, remarks in (("not carried over", self.left), ("changed", self.changed)):
            yield from (f"{title}: {one.where}: {one.why}" for one in remarks)
        yield from (f"to do: {hint}" for hint in self.hints)


def text_of(converted: Converted) -> str:
    """Return the document as YAML, with comments that say what became of the source."""
    body = io.StringIO()
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(converted.document, body)
    return "".join(_head(converted)) + body.getvalue()


def _head(converted: Converted) -> Iterator[str]:
    yield f"# A study, converted from a {converted.kind} by `tuner convert`.\n"
    sections = (
        ("Not carried over:", [f"{one.where}: {one.why}" for one in converted.left]),
        ("Changed:", [f"{one.where}: {one.why}" for one in converted.changed]),
        ("To do:", converted.hints),
    )
    for title, lines in sections:
        if lines:
            yield f"#\n# {title}\n"
        for line in lines:
            yield from _comment(line)


def _comment(line: str) -> Iterator[str]:
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    wrapped = textwrap.wrap(plain, _WIDTH, break_on_hyphens=False) or [""]
    for i, part in enumerate(wrapped):
        yield f"#   {'- ' if i == 0 else '  '}{part}\n"
