"""Values to rows of our tables and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from storage.changes import (
    Attempt,
    ReportKey,
    StoredArtifact,
    StoredCheckpoint,
    StoredReply,
    StoredReport,
)
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Checkpoint, Event, HandCut, RungMark, Trial, Worker

Row = dict[str, Any]


def naive(at: datetime) -> datetime:
    """Return a time as it is stored: in UTC, without a zone."""
    return at.astimezone(UTC).replace(tzinfo=None)


def naive_or_none(at: datetime | None) -> datetime | None:
    """Return a time as it is stored, None for None."""
    return None if at is None else naive(at)


def aware(at: datetime) -> datetime:
    """Return a stored time as a value."""
    return at.replace(tzinfo=UTC)


def aware_or_none(at: datetime | None) -> datetime | None:
    """Return a stored time as a value, None for None."""
    return None if at is None else aware(at)


def to_json(value: Any) -> str:
    """Return JSON that every database reads: numbers that are not finite become strings."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return value


def read_strings(text: str) -> tuple[str, ...]:
    """Return a stored list of strings."""
    return tuple(json.loads(text))


def read_mapping(text: str) -> dict[str, Any]:
    """Return a stored object."""
    found: dict[str, Any] = json.loads(text)
    return found


def kind_of(value: float) -> str:
    """Return `ok`, `nan`, `inf` or `-inf`."""
    return "ok" if math.isfinite(value) else str(value)


def value_of(value: float | None, kind: str) -> float:
    """Return the inverse of `kind_of` and the nullable value beside it."""
    return float(kind) if value is None else value


# Studies


def study_row(study: Study) -> Row:
    """Return a study's own row."""
    return {
        "study_id": study.study_id,
        "spec": study.spec.model_dump_json(exclude_none=True),
        **study_changes(study),
        "created_by": study.created_by,
        "created_at": naive(study.created_at),
    }


def study_changes(study: Study) -> Row:
    """Return the columns of a study that change in its life."""
    return {
        "state": study.state.value,
        "stopping": study.stopping and study.stopping.value,
        "ended_why": study.ended_why and study.ended_why.value,
        "started_at": naive_or_none(study.started_at),
        "ended_at": naive_or_none(study.ended_at),
    }


def read_spec(text: str) -> StudySpec:
    """Return a stored study document."""
    return StudySpec.model_validate_json(text)


# Trials


def trial_row(trial: Trial, note: str) -> Row:
    """Return a trial's own row, whole."""
    return {
        "trial_id": trial.trial_id,
        "study_id": trial.study_id,
        "number": trial.number,
        "origin": trial.origin.value,
        "seed": trial.seed,
        "note": note,
        "created_at": naive(trial.created_at),
        **trial_changes(trial),
    }


def trial_changes(trial: Trial) -> Row:
    """Return the columns of a trial that change in its life."""
    return {
        "state": trial.state.value,
        "outcome": trial.outcome and trial.outcome.value,
        "value": trial.value,
        "reason": trial.reason,
        "attempt": trial.attempt,
        "failures": trial.failures,
        "lr_factor": trial.lr_factor,
        "marks": to_json(trial.marks),
        "checkpoint": None if trial.checkpoint is None else to_json(trial.checkpoint),
        "share": trial.share,
        "started_at": naive_or_none(trial.started_at),
        "ended_at": naive_or_none(trial.ended_at),
        "hand": to_json(trial.hand) if trial.hand else None,
    }


def read_hand(text: str | None) -> tuple[HandCut, ...]:
    """Return stored cuts by hand."""
    return () if text is None else tuple(HandCut(*cut) for cut in json.loads(text))


def read_marks(text: str) -> tuple[RungMark, ...]:
    """Return stored marks."""
    return tuple(
        RungMark(bracket, rung, step, float(v)) for bracket, rung, step, v in json.loads(text)
    )


def read_checkpoint(text: str | None) -> Checkpoint | None:
    """Return a trial's stored checkpoint."""
    return None if text is None else Checkpoint(*json.loads(text))


# What belongs to trials, and the fleet


def attempt_row(attempt: Attempt) -> Row:
    """Return an attempt's row."""
    return {
        "trial_id": attempt.trial_id,
        "attempt": attempt.lease.attempt,
        "token": attempt.lease.token,
        "worker_id": attempt.lease.worker_id,
        "resumed_step": attempt.resumed_step,
        "token_id": attempt.lease.token_id,
        "started_at": naive(attempt.started_at),
        **attempt_end(attempt),
    }


def attempt_end(attempt: Attempt) -> Row:
    """Return the columns of an attempt that its end sets."""
    return {
        "ended_at": naive_or_none(attempt.ended_at),
        "ended_why": attempt.end and attempt.end.value,
    }


def report_row(key: ReportKey, stored: StoredReport, lineage: bool) -> Row:
    """Return a report's row."""
    value = stored.report.value
    return {
        "trial_id": stored.trial_id,
        "attempt": key.attempt,
        "step": key.step,
        "value": value if math.isfinite(value) else None,
        "kind": kind_of(value),
        "lr_factor": stored.report.lr_factor,
        "metrics": to_json(dict(stored.metrics)),
        "at": naive(stored.at),
        "lineage": lineage,
    }


def checkpoint_row(stored: StoredCheckpoint) -> Row:
    """Return a checkpoint's row."""
    return {
        "trial_id": stored.trial_id,
        **stored.checkpoint._asdict(),
        "at": naive(stored.at),
    }


def artifact_row(stored: StoredArtifact) -> Row:
    """Return an artifact's row."""
    return {
        "trial_id": stored.trial_id,
        **stored.artifact._asdict(),
        "at": naive(stored.at),
    }


def event_row(event: Event) -> Row:
    """Return an event's row."""
    return {
        "seq": event.seq,
        "study_id": event.study_id,
        "number": event.number,
        "attempt": event.attempt,
        "step": event.step,
        "kind": event.kind.value,
        "at": naive(event.at),
        "data": to_json(dict(event.data)),
    }


def worker_row(worker: Worker) -> Row:
    """Return a worker's row."""
    return {
        "worker_id": worker.worker_id,
        "name": worker.name,
        "host": worker.host,
        "slots": worker.slots,
        "gpus": to_json(worker.gpus),
        "labels": to_json(dict(worker.labels)),
        "allow": to_json(worker.allow),
        "tasks": to_json(worker.tasks),
        "registered_at": naive(worker.registered_at),
        "seen_at": naive(worker.seen_at),
        "token_id": worker.token_id,
        "project": worker.project,
        "allow_commands": to_json(worker.allow_commands),
        "allow_env": to_json(worker.allow_env),
    }


def reply_row(reply: StoredReply) -> Row:
    """Return an idempotent reply's row."""
    return {
        "key": reply.key,
        "digest": reply.digest,
        "status": reply.status,
        "body": reply.body,
        "at": naive(reply.at),
    }


def prefixed(rows: Iterable[Row], *names: str) -> list[Row]:
    """Rename the columns that select a row, so that they can be bound beside those it sets."""
    return [{(f"old_{k}" if k in names else k): v for k, v in row.items()} for row in rows]
