"""What a webhook is told, and when it is tried again. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from api.views import MEASURED
from api.webhooks.network import Answer
from storage.memory import Reader
from tuner.errors import NotFound
from tuner.study import Study
from tuner.trial import Event, EventKind, Trial
from tuner.webhook import Topic, Webhook, topics_of

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0
GIVE_UP_AFTER = timedelta(hours=24)
LEAST_ATTEMPTS = 8
"""Attempts before a webhook is given up, however far the time of day leapt."""
GONE = 410


def topic_for(
    reader: Reader, webhook: Webhook, event: Event, incumbents: Incumbents
) -> Topic | None:
    """Return what to tell a webhook an event is; None if it is not told of it."""
    if event.kind not in webhook.kinds or webhook.study_id not in (None, event.study_id):
        return None
    try:
        study = reader.study(event.study_id)
    except NotFound:
        return None
    if webhook.project not in (None, study.spec.queue.project):
        return None
    best = Topic.TRIAL_BEST in webhook.topics and incumbents.ended_best(reader, study, event)
    return webhook.chosen(topics_of(event, best=best))


class Incumbents:
    """The best trial of each study so far, for one who goes through the events in order.

    A study's trials are looked through once, at the first event that asks.
    """

    def __init__(self) -> None:
        self._best: dict[int, Rank] = {}

    def ended_best(self, reader: Reader, study: Study, event: Event) -> bool:
        """Tell whether an event ended the best trial of the search so far; finalists repeat it."""
        if event.kind is not EventKind.ENDED or event.number is None:
            return False
        trial = reader.trial(study.study_id, event.number)
        if (rank := _rank(study, trial)) is None:
            return False
        best = self._best.get(study.study_id) or _best_before(reader, study, trial)
        is_best = best is None or rank.value < best.value or rank == best
        self._best[study.study_id] = rank if best is None or is_best else best
        return is_best


class Rank(NamedTuple):
    """Where a trial stands: the smaller value is the better one."""

    value: float
    number: int


def _rank(study: Study, trial: Trial) -> Rank | None:
    if trial.outcome not in MEASURED or trial.value is None or not trial.searches:
        return None
    sign = 1.0 if study.spec.objective.mode == "min" else -1.0
    return Rank(sign * trial.value, trial.number)


def _best_before(reader: Reader, study: Study, trial: Trial) -> Rank | None:
    ended = (trial.ended_at, trial.number)
    before = (
        _rank(study, other)
        for other in reader.trials(study.study_id)
        if other.ended_at is not None and (other.ended_at, other.number) < ended
    )
    return min((rank for rank in before if rank is not None), default=None)


def after(webhook: Webhook, answer: Answer, seq: int, now: datetime) -> Webhook:
    """Return a webhook after an attempt to tell it of the event `seq`."""
    if answer.status is not None and 200 <= answer.status < 300:
        return webhook.evolve(cursor=seq, attempts=0, failing_since=None)
    attempts, since = webhook.attempts + 1, webhook.failing_since or now
    failed = webhook.evolve(attempts=attempts, failing_since=since)
    if answer.status == GONE:
        return failed.evolve(active=False, reason="the receiver answered 410: it is gone")
    if attempts >= LEAST_ATTEMPTS and now - since >= GIVE_UP_AFTER:
        hours = GIVE_UP_AFTER / timedelta(hours=1)
        why = f"{attempts} attempts failed for {hours:g} hours, at last: {why_not(answer)}"
        return failed.evolve(active=False, reason=why)
    return failed


def why_not(answer: Answer) -> str:
    """Say why an answer delivered nothing; empty if it did."""
    if answer.status is None:
        return answer.error
    if 300 <= answer.status < 400:
        return f"answered {answer.status}; redirects are not followed"
    return "" if 200 <= answer.status < 300 else f"answered {answer.status}"


def pause(attempts: int, retry_after: float | None, jitter: float) -> float:
    """Return the seconds to wait after `attempts` that failed; `jitter` in [0, 1).

    From 5 s doubled up to an hour, of it between a half and all by chance; longer if the receiver
    asked for it, up to a day.
    """
    full = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 20))
    chosen = full * (0.5 + jitter / 2)
    return max(chosen, min(retry_after or 0.0, GIVE_UP_AFTER.total_seconds()))
