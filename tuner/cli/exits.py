"""Exit codes, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.errors import (
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    OwnerLost,
    ServerUnreachable,
    StorageFull,
    TunerError,
    Unavailable,
)

FAILURE = 1
USAGE = 2
NOT_FOUND = 3
NOT_ALLOWED = 4
UNREACHABLE = 5
NO_SUCCESS = 6
STOP = 10
"""Of `tuner report`: the decision is to stop."""
LEAVE = 11
"""Of `tuner report`: the worker leaves; checkpoint and end."""
INTERRUPTED = 130

_CODES: tuple[tuple[type[TunerError], int], ...] = (
    (NotFound, NOT_FOUND),
    (NotAuthenticated, NOT_ALLOWED),
    (NotAllowed, NOT_ALLOWED),
    (OwnerLost, FAILURE),
    (ServerUnreachable, UNREACHABLE),
    (Unavailable, UNREACHABLE),
)


def exit_code(error: TunerError) -> int:
    """Return the exit code that stands for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILURE)


def with_cause(error: TunerError) -> str:
    """Return an error in words, for an operator: where a database is the cause, with its own."""
    below: BaseException = error
    while isinstance(error, Unavailable | StorageFull) and below.__cause__ is not None:
        below = below.__cause__
    if isinstance(below, TunerError):
        return error.detail
    return f"{error.detail}: {str(below).partition(chr(10))[0]}"


def explain(error: TunerError) -> Iterator[str]:
    """Say what went wrong, one line a fault, and where there is one what to do."""
    if isinstance(error, InvalidInput) and error.faults:
        for fault in error.faults:
            where = f"{fault.where}: " if fault.where else ""
            yield f"error: {where}{fault.message}"
    else:
        yield f"error: {with_cause(error)}"
    if isinstance(error, NotAuthenticated):
        yield "hint: set TUNER_TOKEN; the server printed its admin token at its first start"
