"""Constraints that strangers write: none may hold up the server or fill its memory."""

from __future__ import annotations

import pytest

from tuner.constraints import parse
from tuner.errors import InvalidInput

KNOWN = ("lr", "width", "kind")
POINT: dict[str, float | int | str | bool] = {"lr": 0.1, "width": 8, "kind": "sgd"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("width ** 2 == 64", True),
        ("lr ** 0.5 < 1", True),
        ("kind == 'sgd'", True),
        ("width % 3 == 2", True),
        ("10 ** 4000 > lr", False),  # a power is a float: this one can't be computed
        ("3999999 ** 3999999 > lr", False),  # as a whole number it takes minutes
        ("'%9d' % width == '        8'", False),  # formatting, which takes any width
        ("(0 - 8) ** 0.5 < width", False),  # complex
    ],
)
def test_what_a_constraint_computes(text: str, holds: bool) -> None:
    assert parse(text, KNOWN).holds(POINT) is holds


@pytest.mark.parametrize("text", ["-" * 400 + "lr < 1", "(" * 60 + "lr" + "+1)" * 60 + " < 1"])
def test_what_is_nested_deeply_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        parse(text, KNOWN)
