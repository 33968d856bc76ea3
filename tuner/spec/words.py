"""What a value should have been, in words: of pydantic's errors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from pydantic_core import ErrorDetails

_KINDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "model_type": "should be a mapping of keys to values",
    "dict_type": "should be a mapping of keys to values",
    "list_type": "should be a list",
    "int_type": "should be a whole number",
    "float_type": "should be a number (without quotes)",
    "finite_number": "should be a finite number",
    "bool_type": "should be true or false",
    "string_type": "should be a text",
}
_RANGES: Mapping[str, str] = {
    "greater_than": "should be above {gt:.12g}",
    "greater_than_equal": "should be {ge:.12g} or more",
    "less_than": "should be below {lt:.12g}",
    "less_than_equal": "should be {le:.12g} or less",
    "too_short": "should have {min_length} or more entries",
    "too_long": "should have at most {max_length} entries",
    "multiple_of": "should be a multiple of {multiple_of}",
}
_IDENTIFIER = re.compile(r"\^\[A-Za-z_\]\[A-Za-z0-9_(.*)\]\{0,(\d+)\}\$")
_MOST = 60


def words(error: ErrorDetails) -> str:
    """Say what a value should be, and what it is where that is a number or a word of a list."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in _RANGES:
        given = context["actual_length"] if "actual_length" in context else _given(error)
        return f"{_RANGES[kind].format(**context)}, not {given}"
    if kind == "literal_error":
        return _one_of(re.split(r", | or ", context["expected"]), _given(error))
    if kind == "string_pattern_mismatch" and (name := _IDENTIFIER.fullmatch(context["pattern"])):
        more, most = name.groups()
        given = _given(error)
        return (
            f"should be a letter or _, then up to {most} letters, digits and _{more}, not {given}"
        )
    return _KINDS.get(kind) or error["msg"].removeprefix("Value error, ")


def _one_of(known: list[str], given: str) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6) if len(known) > 1 else []
    hint = f": did you mean {near[0]}?" if near else ""
    many = "one of " if len(known) > 1 else ""
    return f"should be {many}{', '.join(known)}, not {given}{hint}"


def _given(error: ErrorDetails) -> str:
    return repr(error["input"])[:_MOST]
