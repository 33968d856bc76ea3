"""Text that a program wrote for a terminal, made fit to be shown anywhere."""

from __future__ import annotations

import re

_ESCAPES = re.compile(
    "\x1b(?:"
    r"\[[0-?]{0,100}[ -/]{0,20}[@-~]"  # CSI: colours, cursor
    "|[\\]PX^_][^\x07\x1b]{0,4000}(?:\x07|\x1b\\\\)"  # OSC and others: titles, links
    r"|[ -/]{0,20}[0-~]"
    ")"
)
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MARK = "\N{REPLACEMENT CHARACTER}"


def plain(line: str) -> str:
    """Return a line without its escape sequences; other control characters are marked.

    A tab stays. What could turn the direction of the text is marked, too.
    """
    if "\x1b" in line:
        line = _ESCAPES.sub("", line)
    return _UNSEEN.sub(_MARK, line)
