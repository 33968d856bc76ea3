"""How long ago: what `tuner db prune --older-than` reads, and what it refuses."""

from __future__ import annotations

from datetime import timedelta

import pytest
import typer

from tuner.cli.prune import age


@pytest.mark.parametrize(
    ("text", "hours"),
    [("12h", 12), ("1d", 24), ("90d", 90 * 24), ("4w", 4 * 7 * 24), ("99999w", 99999 * 168)],
)
def test_an_age(text: str, hours: int) -> None:
    assert age(text) == timedelta(hours=hours)


@pytest.mark.parametrize(
    "text",
    ["", "90", "d", "0d", "-1d", "1.5d", "5m", "5y", "90 d", "90D", "1e3d", "d90", "१d", "1d\n",
     "100000d", "nan"],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no age"):
        age(text)
