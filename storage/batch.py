"""PostgreSQL statements that go to the database together, as one message and one wait.

The driver's own pipeline looks at the socket after each statement. Whoever does so beside a busy
event loop waits for the interpreter's lock each time; a commit lost a millisecond by that.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, pq
from sqlalchemy import Connection, Engine, event

_WAITING, _PREPARED, _NAMES = "tuner_batch", "tuner_prepared", "tuner_names"
_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
Values = Sequence[bytes]


class Wait(NamedTuple):
    """What the database's answer is waited for on; with `sending`, also until more can be sent."""

    socket: int
    sending: bool


class Batch:
    """Statements of one connection, with `$1`, `$2`, … for values in PostgreSQL's text form.

    The database skips what follows a failure. No results are kept. The driver must prepare no
    statements of its own: after a rollback it would forget ours with them.

    Args:
        info: of the connection; keeps what is prepared there.
    """

    def __init__(self, driver: psycopg.Connection[Any], info: MutableMapping[Any, Any]) -> None:
        self._pgconn = driver.pgconn
        self._prepared: dict[bytes, bytes] = info.setdefault(_PREPARED, {})
        self._names: Iterator[int] = info.setdefault(_NAMES, count())
        self._queue: list[tuple[bytes, Values]] = []

    def add(self, statement: bytes, values: Values = ()) -> None:
        """Put a statement behind the others. Raises psycopg.DataError: a value has a NUL."""
        if any(b"\0" in value for value in values):
            raise psycopg.DataError("PostgreSQL takes no NUL")
        self._queue.append((statement, values))

    def run(self) -> None:
        """Execute what waits. Raises psycopg.Error, the first failure."""
        for wait in self.exchange():
            socket = poll()
            socket.register(wait.socket, POLLIN | (POLLOUT if wait.sending else 0))
            socket.poll()

    def exchange(self) -> Generator[Wait]:
        """Execute what waits, and yield each time that the database must be waited for.

        Raises:
            psycopg.Error: the first failure.
        """
        if not self._queue:
            return
        queue, self._queue = self._queue, []
        self._pgconn.enter_pipeline_mode()
        fresh: dict[bytes, bytes] = {}
        for statement, values in queue:
            if not values:
                self._pgconn.send_query_params(statement, None)
                continue
            name = self._prepared.get(statement) or fresh.get(statement)
            if name is None:
                name = fresh[statement] = b"tuner_%d" % next(self._names)
                self._pgconn.send_prepare(name, statement)
            self._pgconn.send_query_prepared(name, values)
        self._pgconn.pipeline_sync()
        failure = yield from self._outcome()
        self._pgconn.exit_pipeline_mode()
        if failure is not None:
            raise errors.error_from_result(failure)
        self._prepared.update(fresh)

    def _outcome(self) -> Generator[Wait, None, pq.abc.PGresult | None]:
        """Read all answers; return the first failure."""
        failure: pq.abc.PGresult | None = None
        while True:
            unsent = self._pgconn.flush()
            yield Wait(self._pgconn.socket, sending=bool(unsent))
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    return failure
                if failure is None and result.status in _FAILED:
                    failure = result
                if self._pgconn.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError(self._pgconn.get_error_message())


def waiting(connection: Connection) -> Batch | None:
    """Return the batch that the connection's statements are to join."""
    found: Batch | None = connection.info.get(_WAITING)
    return found


@contextmanager
def gathering(connection: Connection, batch: Batch) -> Iterator[None]:
    """Let the connection's bulk statements join a batch for the time of a block."""
    connection.info[_WAITING] = batch
    try:
        yield
    finally:
        del connection.info[_WAITING]


def keep_order(engine: Engine) -> None:
    """Let the engine's other statements be executed after those that wait in a batch."""

    @event.listens_for(engine, "before_cursor_execute")
    def _first(connection: Connection, *_: Any) -> None:
        if (batch := waiting(connection)) is not None:
            batch.run()
