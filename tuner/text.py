"""Names people may give: short, printable, without characters that hide or reorder text."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

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


Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_visible)]
Name = Annotated[Label, AfterValidator(_not_a_number)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
MetricName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]{0,99}$")]
