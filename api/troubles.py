"""Which workers took themselves out of service, as their heartbeats say. Nothing is stored."""

from __future__ import annotations

import logging

from tuner.trial import Worker

_log = logging.getLogger(__name__)


class Troubles:
    """Reasons by worker. After a restart the next heartbeats tell them again."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def tell(self, worker: Worker, reason: str) -> None:
        """Take in a reason, or that there is none."""
        if reason == self._reasons.get(worker.worker_id, ""):
            return
        if reason:
            self._reasons[worker.worker_id] = reason
            _log.warning("worker %s is out of service: %s", worker.name, reason)
        else:
            self.forget(worker.worker_id)
            _log.info("worker %s serves again", worker.name)

    def of(self, worker: Worker) -> str:
        """Return why a worker is out of service, empty if it is not."""
        return self._reasons.get(worker.worker_id, "")

    def forget(self, worker_id: str) -> None:
        """Drop what is known of a worker."""
        self._reasons.pop(worker_id, None)
