"""Which workers people drained: those get no further trial, and go on with those they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Cordons:
    """The drained workers, by id, with who drained them.

    `api.draining` takes them up from the audit log at the start, so that after a restart nothing is
    sent to a node that is about to be switched off.
    """

    def __init__(self) -> None:
        self._by: dict[str, str] = {}
        self._watchers: set[Callable[[], None]] = set()

    def holds(self, worker_id: str | None) -> bool:
        """Tell whether a worker gets no further trial."""
        return worker_id in self._by

    def by(self, worker_id: str) -> str:
        """Return who drained a worker, empty if nobody did."""
        return self._by.get(worker_id, "")

    def put(self, worker_id: str, by: str) -> None:
        """Note who drained a worker; empty that it serves again."""
        if by:
            self._by[worker_id] = by
        else:
            self._by.pop(worker_id, None)
        for tell in tuple(self._watchers):
            tell()

    def forget(self, worker_id: str) -> None:
        """Drop what is known of a worker."""
        self._by.pop(worker_id, None)

    @contextmanager
    def watched(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` when a worker is drained or serves again."""
        self._watchers.add(tell)
        try:
            yield
        finally:
            self._watchers.discard(tell)
