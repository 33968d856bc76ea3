"""Reads from the server what a study's report tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from tuner.client.transport import Transport
from tuner.decision import Outcome
from tuner.errors import TunerError
from tuner.report import AGAIN, Facts, Follower
from tuner.wire import EventView, StudyView, TrialDetail, TrialView
from tuner.wire.base import Reply

if TYPE_CHECKING:
    from tuner.client.study import StudyHandle

SHOWN = 6
"""Trials whose curves are drawn."""
_WHOLE = (Outcome.COMPLETE, Outcome.CONVERGED)
_DECISIONS = ("halved", "scaled", "ended", "rung")
_STILL_COMPUTING = "The server still computes this: ask for the report again in a minute."


class _Share(Reply):
    name: str
    share: float


class _Importance(Reply):
    state: str = "unavailable"
    why: str = ""
    items: list[_Share] = Field(default_factory=list)


def facts(study: StudyHandle, transport: Transport, url: str) -> Facts:
    """Read all that a report tells; sections that this server has nothing for stay empty."""
    view = study.refresh().view
    trials = study.trials()
    decisions, findings = _told(study.events())
    importance, why = _importance(transport, view)
    best = view.best
    return Facts(
        view=view,
        trials=trials,
        shown=[study.trial(number) for number in _leading(view, trials)],
        decisions=decisions,
        findings=findings,
        importance=importance,
        unimportant=why,
        environment=next(iter(study.environments(best.number)), None) if best else None,
        replay=study.export() if best else "",
        followers=[_follower(transport, other) for other in study.followers()],
        made_at=datetime.now(UTC),
        url=url,
        version=_version(),
    )


def _leading(view: StudyView, trials: Sequence[TrialView]) -> list[int]:
    sign = -1.0 if view.spec.get("objective", {}).get("mode") == "max" else 1.0
    measured = [
        (t.outcome not in _WHOLE, sign * t.value, t.number)
        for t in trials
        if t.value is not None and t.origin not in AGAIN and t.outcome is not None
    ]
    first = [] if view.best is None else [view.best.number]
    return list(dict.fromkeys([*first, *(number for _, _, number in sorted(measured))]))[:SHOWN]


def _told(events: Iterator[EventView]) -> tuple[Counter[tuple[str, str]], list[EventView]]:
    """Count the decisions by kind and rule, and keep the findings."""
    counts: Counter[tuple[str, str]] = Counter()
    findings = []
    for event in events:
        kind, rule = event.kind.value, event.data.get("rule")
        if kind == "finding":
            findings.append(event)
        elif kind in _DECISIONS and rule:
            done = event.data.get("outcome") if kind == "ended" else kind
            if kind == "rung":
                done = "spared" if event.data.get("promoted") else "worse at a rung"
            counts[str(done), str(rule)] += 1
    return counts, findings


def _importance(
    transport: Transport, view: StudyView
) -> tuple[list[tuple[str, float]] | None, str]:
    try:
        reply = transport.send("GET", f"/studies/{view.id}/importance")
        found = _Importance.model_validate_json(reply.content)
    except (TunerError, ValidationError):
        return None, "This server does not compute it."
    if found.state == "ready" and found.items:
        return [(item.name, item.share) for item in found.items], ""
    why = _STILL_COMPUTING if found.state == "computing" else found.why
    return None, why or "There is none."


def _follower(transport: Transport, view: StudyView) -> Follower:
    if view.best is None:
        return Follower(view, {})
    path = f"/studies/{view.id}/trials/{view.best.number}"
    last = max(transport.get(TrialDetail, path).reports, key=lambda r: r.step, default=None)
    if last is None or last.value is None:
        return Follower(view, {})
    return Follower(view, {**last.metrics, "value": last.value})


def _version() -> str:
    try:
        return version("tuner")
    except PackageNotFoundError:
        return "(not installed)"
