"""Sizes of memory as people write them: `8GiB`, `500MB`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_UNITS: dict[str, int] = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_FORM = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?(B|[KMGT]i?B)")
_LEAST, _MOST = 1024**2, 1024**5


def read_size(text: str) -> int:
    """Return the bytes that a text such as `8GiB` names, from 1 MiB to 1 PiB.

    Raises:
        ValueError: it names none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("give a size with its unit, such as 8GiB, 512MiB or 1.5GB")
    size = round(float(found[1]) * _UNITS[found[2]])
    if not _LEAST <= size <= _MOST:
        raise ValueError("a size is from 1MiB to 1024TiB")
    return size


def show_size(size: int) -> str:
    """Return bytes as people read them: `8 GiB`, `1.53 GiB`, `312 MiB`."""
    for power, letter in ((4, "T"), (3, "G"), (2, "M"), (1, "K")):
        if size >= 1024**power:
            return f"{size / 1024**power:.3g} {letter}iB"
    return f"{size} B"


def _checked(text: str) -> str:
    read_size(text)
    return text


Size = Annotated[str, AfterValidator(_checked)]
