"""Names of the files that a trial keeps: relative POSIX paths that mean the same everywhere."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

LONGEST_NAME = 400
"""Bytes of a name in UTF-8."""
LONGEST_PART = 200
"""Bytes of what stands between two slashes."""
DEEPEST = 16
"""Parts of a name."""
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_TEXTS = frozenset(
    {"txt", "log", "out", "err", "md", "rst", "tex", "json", "jsonl", "ndjson", "csv", "tsv"}
    | {"yaml", "yml", "toml", "ini", "cfg", "py", "sh", "html", "htm", "xml", "svg", "css", "js"}
)
_IMAGES = frozenset({"png", "jpg", "jpeg"})


def artifact_name(text: str) -> str:
    """Return a name in its one form (NFC).

    Raises:
        ValueError: it is no relative path below a folder that every file system can hold: with
            `..`, a backslash, or characters that do not show, or too long or too deep.
    """
    name = unicodedata.normalize("NFC", text)
    bad = next((c for c in name if unicodedata.category(c) in _HIDDEN), None)
    if bad is not None:
        raise ValueError(f"character U+{ord(bad):04X} is not allowed in a file's name")
    if "\\" in name:
        raise ValueError("a file's name has '/' between its parts, not '\\'")
    parts = name.split("/")
    if any(part in ("", ".", "..") or part != part.strip() for part in parts):
        raise ValueError("a file's name is a relative path without empty parts, '.' and '..'")
    if len(parts) > DEEPEST:
        raise ValueError(f"a file's name has at most {DEEPEST} parts")
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        raise ValueError(f"a part of a file's name has at most {LONGEST_PART} bytes")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"a file's name has at most {LONGEST_NAME} bytes")
    return name


ArtifactName = Annotated[
    str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(artifact_name)
]


def preview_kind(name: str) -> Literal["text", "image"] | None:
    """Guess from its name what a file may be shown as: `text`, `image`, or not at all."""
    ending = name.rpartition(".")[2].lower()
    if ending in _TEXTS:
        return "text"
    return "image" if ending in _IMAGES else None
