"""Records what a trial in somebody's own loop runs on and with, beside the training."""

from __future__ import annotations

import logging
import threading
from functools import cache
from pathlib import Path

from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.environment import Recorder, What
from tuner.errors import TunerError
from tuner.wire import EnvironmentRecorded, LeaseGrant

_LOG = logging.getLogger("tuner.trial")
_PATIENCE = Patience(total=10.0)


class Recording:
    """Collects an environment and sends it, in a thread of its own.

    What goes wrong is logged and forgotten: a trial without a record trains as well.
    """

    def __init__(self, transport: Transport, grant: LeaseGrant) -> None:
        self._transport = transport
        self._grant = grant
        self._thread = threading.Thread(target=self._run, name="tuner-record", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is sent, or given up."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._send()
        except Exception as exc:  # a closed client's among them
            why = exc.detail if isinstance(exc, TunerError) else repr(exc)
            _LOG.info("trial %d has no record of its environment: %s", self._grant.number, why)

    def _send(self) -> None:
        parts = _recorder().record(What.of_run(self._grant.run, Path.cwd()))
        path = f"/leases/{self._grant.lease}/environment"
        body = parts.message(self._grant.attempt, frozenset())
        reply = self._transport.put(EnvironmentRecorded, path, body, patience=_PATIENCE)
        if reply.missing:
            body = parts.message(self._grant.attempt, frozenset(reply.missing))
            self._transport.put(EnvironmentRecorded, path, body, patience=_PATIENCE)


@cache
def _recorder() -> Recorder:
    return Recorder()
