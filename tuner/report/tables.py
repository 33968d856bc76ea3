"""Tables of a report, and values as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def number(value: object) -> str:
    """Return a parameter's value as text."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_SHORT = 32
"""Texts up to so long are not wrapped."""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return a table of escaped texts."""
    top = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="wide"><table>{said}<thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    kind = ' class="t"' if len(text) > _SHORT else ""
    return f"<td{kind}>{escape(text)}</td>"
