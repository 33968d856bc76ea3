"""Names people may give, printable and short; and the one line of an error that names it."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

MANY = 30
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def _visible(text: str) -> str:
    bad = next((c for c in text if unicodedata.category(c) in _HIDDEN), None)
    if bad is not None:
        raise ValueError(f"character U+{ord(bad):04X} is not allowed: it does not show")
    if text != text.strip():
        raise ValueError("spaces at the start or the end are not allowed")
    return text


def _not_a_number(text: str) -> str:
    if text.isdecimal():
        raise ValueError("a name of digits only would look like an id")
    return text


def _one_segment(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError("'/' is not allowed, nor '.' and '..' alone: names stand in URLs")
    return text


Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_visible)]
Name = Annotated[Label, AfterValidator(_not_a_number)]
StudyName = Annotated[Name, AfterValidator(_one_segment)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
MetricName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]{0,99}$")]


def headline(text: str) -> str:
    """Return the line that names an error: after a traceback's last frame, else the last one."""
    lines = text.strip().splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith('  File "')]
    after = lines[frames[-1] + 1 :] if frames else []
    found = next((line for line in after if line and not line[0].isspace()), "")
    return (found or "".join(lines[-1:])).strip()[:500]


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """Say that a name is not known, and which near one is; beside one, few are listed or none."""
    names = sorted(known)
    near = difflib.get_close_matches(given[:100], names, n=1, cutoff=0.5)
    if near and len(names) > MANY:
        return f"unknown {what}; did you mean {near[0]!r}?"
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what}; {hint}known are {', '.join(names)}"
