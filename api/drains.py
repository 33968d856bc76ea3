"""Which workers keep GPUs free for a study whose next trial has no room yet."""

from __future__ import annotations

from collections.abc import Callable, Collection

_FORGOTTEN_S = 90.0
"""A worker asks more often than this, as a request for leases is held for a minute at most."""


class Drains:
    """The GPUs kept free, by worker. Nothing is stored.

    Guarantees: no more workers keep GPUs free for a study than it has trials to start, so that one
    large trial does not stop a whole fleet; a worker that asks no more is forgotten.

    Args:
        monotonic: gives seconds that never jump.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, frozenset[int]]] = {}

    def may(self, worker_id: str, study_id: int, trials: int) -> bool:
        """Tell whether a worker may keep GPUs for a study that has so many trials to start."""
        now = self._monotonic()
        others = sum(
            study_id in studies and until > now
            for worker, (until, studies) in self._kept.items()
            if worker != worker_id
        )
        return others < trials

    def keep(self, worker_id: str, studies: Collection[int]) -> None:
        """Note for which studies a worker keeps GPUs free from now on, and for no others."""
        now = self._monotonic()
        if studies:
            self._kept[worker_id] = (now + _FORGOTTEN_S, frozenset(studies))
        else:
            self._kept.pop(worker_id, None)
        past = [worker for worker, (until, _) in self._kept.items() if until <= now]
        for worker in past:
            del self._kept[worker]
