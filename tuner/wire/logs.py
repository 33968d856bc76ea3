"""Messages that carry what trials print."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tuner.wire.base import Problem, Reply, Request, Token

LONGEST_LINE = 20_000
"""Characters of a line; workers cut longer ones."""
MOST_LINES = 5_000
"""Lines of one trial in one request."""


class LogLine(Request):
    """A line without its end. `age_s` are the seconds since it was printed."""

    age_s: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
    text: Annotated[str, Field(max_length=LONGEST_LINE)]


class LogItem(Request):
    """Lines that an attempt printed. `first` is the number of the first, counted from 0.

    `last` says that nothing follows.
    """

    lease: Token
    attempt: Annotated[int, Field(ge=1, lt=2**31)]
    first: Annotated[int, Field(ge=0, lt=2**53)]
    lines: Annotated[list[LogLine], Field(max_length=MOST_LINES)] = Field(default_factory=list)
    last: bool = False


class Logs(Request):
    """POST /logs: output of any of the caller's leases, answered item by item."""

    logs: Annotated[list[LogItem], Field(min_length=1, max_length=1000)]


class LogResult(Reply):
    """Answer to one item: the number of the line that comes next, or why it was not taken."""

    next: int | None = None
    problem: Problem | None = None


class LogResults(Reply):
    """Reply to POST /logs, in the order of the request."""

    results: list[LogResult]
