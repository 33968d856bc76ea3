"""Reports of a leased trial on their way to the server, and the decisions that come back."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tuner.client.heart import Heart
from tuner.client.retry import Patience
from tuner.client.transport import Transport
from tuner.decision import Decision
from tuner.errors import StaleAttempt, TunerError
from tuner.problems import error_of
from tuner.spec.read import validate
from tuner.trial import TrialState
from tuner.wire import (
    DecisionView,
    LeaseGrant,
    ReportItem,
    ReportResult,
    ReportResults,
    Reports,
    TrialAfter,
)

_BATCH = 1000


class Outbox:
    """Keeps reports in order until the server answered them. Its caller holds a lock.

    `decision` is the last one known, and `over` how the trial ended, once one of them ended it.
    """

    def __init__(self, transport: Transport, grant: LeaseGrant, heart: Heart) -> None:
        self._transport = transport
        self._grant = grant
        self._heart = heart
        self._waiting: list[ReportItem] = []
        self.decision = Decision(lr_factor=grant.lr_factor)
        self.over: TrialAfter | None = None

    def put(self, step: int, value: float, metrics: Mapping[str, float] | None) -> None:
        """Add a report. Raises InvalidInput."""
        value = float(value)
        finite = math.isfinite(value)
        document = {
            "lease": self._grant.lease,
            "attempt": self._grant.attempt,
            "step": step,
            "value": value if finite else None,
            "status": "ok" if finite else "diverged",
            "lr_factor": self.decision.lr_factor,
            "metrics": {k: float(v) for k, v in (metrics or {}).items() if math.isfinite(v)},
        }
        self._waiting.append(validate(ReportItem, document))

    def send(self, patience: Patience) -> None:
        """Send what waits, in order, and take in the answers.

        Raises:
            StaleAttempt: the lease is gone.
            TunerError: the first problem with one of the reports, or the server is away.
        """
        problems: list[TunerError] = []
        while self._waiting and self.over is None:
            self.check_held()
            batch = self._waiting[:_BATCH]
            reply = self._transport.post(
                ReportResults,
                "/reports",
                Reports(reports=batch),
                keyed=False,
                patience=patience,
            )
            del self._waiting[: len(batch)]
            problems += [p for p in map(self._take, reply.results) if p is not None]
        if problems:
            raise problems[0]

    def check_held(self) -> None:
        """Raise why the lease is gone, if it is."""
        if self._heart.lost is not None:
            raise self._heart.lost

    def _take(self, result: ReportResult) -> TunerError | None:
        if result.problem is not None:
            problem = error_of(result.problem)
            if isinstance(problem, StaleAttempt):
                self._heart.stop()
            return problem
        if result.decision is not None:
            self._decide(result.decision)
        return None

    def _decide(self, view: DecisionView) -> None:
        self.decision = Decision(
            action=view.action, lr_factor=view.lr_factor, reason=view.reason, outcome=view.outcome
        )
        if self.decision.stop:
            self.over = TrialAfter(state=TrialState.ENDED, outcome=view.outcome)
            self._heart.stop()
