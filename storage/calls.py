"""Commands handed to the ledger, what became of each, and how its caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from storage.transaction import Transaction
from tuner.errors import TunerError, Unavailable

T = TypeVar("T")
Command = Callable[[Transaction], T]

RETRY_AFTER_S = 1


@dataclass(frozen=True, kw_only=True)
class Call(Generic[T]):
    """A command that waits for its batch, and what its caller waits for."""

    command: Command[T]
    reply: asyncio.Future[T]


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What a command returned or raised, to be told after the commit."""

    call: Call[Any]
    value: Any = None
    error: Exception | None = None


def decide(tx: Transaction, call: Call[Any]) -> Decided:
    """Run a command on the overlay; if it raises, its changes are undone."""
    savepoint = tx.savepoint()
    try:
        return Decided(call=call, value=call.command(tx))
    except StopIteration as exc:
        tx.rollback(savepoint)
        return Decided(call=call, error=unavailable(exc))
    except Exception as exc:
        tx.rollback(savepoint)
        return Decided(call=call, error=exc)


def answer(decided: Decided) -> None:
    """Let a caller go on, unless it left."""
    reply = decided.call.reply
    if reply.done():
        return
    if decided.error is not None:
        reply.set_exception(decided.error)
    else:
        reply.set_result(decided.value)


def again(exc: TunerError) -> TunerError:
    """Return the error anew, so that each caller raises its own."""
    copy = type(exc)(exc.detail, **exc.extra)
    copy.__cause__ = exc
    return copy


def unavailable(exc: Exception) -> Unavailable:
    """Return what a caller is told of an error that nobody foresaw."""
    error = Unavailable("the write failed", retry_after=RETRY_AFTER_S)
    error.__cause__ = exc
    return error
