"""The thread that renews a lease while a trial trains in somebody's own loop."""

from __future__ import annotations

import logging
import threading

from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.errors import TunerError
from tuner.problems import error_of
from tuner.wire import Heartbeat, HeartbeatReply, HeldLease

_LOG = logging.getLogger("tuner.trial")
_ONCE = Patience(total=0)


class Heart:
    """Sends a heartbeat every `interval_s` seconds until stopped or told that the lease is gone.

    It is a daemon: a process that ends without finishing its trial lets the lease expire.
    """

    def __init__(
        self, transport: Transport, lease: str, attempt: int, *, interval_s: float
    ) -> None:
        self._transport = transport
        self._beat = Heartbeat(leases=[HeldLease(lease=lease, attempt=attempt)])
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._lost: TunerError | None = None
        self._thread = threading.Thread(target=self._run, name="tuner-heartbeat", daemon=True)

    @property
    def lost(self) -> TunerError | None:
        """Why the lease is gone, None while it is believed to be held."""
        return self._lost

    @property
    def beating(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Send no further heartbeat."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            try:
                reply = self._transport.post(
                    HeartbeatReply, "/heartbeats", self._beat, keyed=False, patience=_ONCE
                )
            except TunerError as exc:
                _LOG.warning("a heartbeat failed: %s", exc.detail)
                continue
            except RuntimeError:
                return  # the client was closed
            problem = reply.results[0].problem if reply.results else None
            if problem is not None:
                if not self._stopped.is_set():
                    self._lost = error_of(problem)
                return
