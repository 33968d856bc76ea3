"""Until when leases are valid, and which workers were heard: on the server's monotonic clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tuner.trial import Lease, Worker


class Deadlines:
    """Deadlines of leases and of workers. Nothing is stored.

    Guarantees: what it meets for the first time, as everything after a restart, gets a full term;
    the time of day plays no part.
    """

    def __init__(self, lease_s: float, monotonic: Callable[[], float]) -> None:
        self._lease_s = lease_s
        self._monotonic = monotonic
        self._leases: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def renew(self, token: str) -> None:
        """Give a lease a full term from now."""
        self._leases[token] = self._monotonic() + self._lease_s

    def is_past(self, token: str) -> bool:
        """Tell whether a lease's term is over."""
        now = self._monotonic()
        return self._leases.setdefault(token, now + self._lease_s) <= now

    def past(self, leases: Iterable[Lease]) -> list[Lease]:
        """Return those of all present leases whose term is over; forget all others than these."""
        present = {lease.token: lease for lease in leases}
        self._leases = {k: v for k, v in self._leases.items() if k in present}
        return [lease for token, lease in present.items() if self.is_past(token)]

    def hear(self, worker_id: str) -> None:
        """Note that a worker was heard."""
        self._heard[worker_id] = self._monotonic()

    def silence(self, worker: Worker) -> float:
        """Return for how long, in seconds, a worker was not heard."""
        now = self._monotonic()
        return now - self._heard.setdefault(worker.worker_id, now)

    def is_alive(self, worker: Worker) -> bool:
        """Tell whether a worker was heard within a lease's length."""
        return self.silence(worker) <= self._lease_s

    def forget(self, worker_id: str) -> None:
        """Drop what is known of a worker."""
        self._heard.pop(worker_id, None)
