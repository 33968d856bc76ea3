"""Random histories of commands for the ledger's tests, and a form in which memories compare."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from storage import Memory, Transaction
from storage.index import Column
from storage.memory import Counters, Tables
from tuner.decision import Outcome
from tuner.errors import Conflict
from tuner.space import Categorical
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import (
    AttemptEnd,
    Checkpoint,
    EndReason,
    Event,
    EventKind,
    Lease,
    Origin,
    Report,
    RungMark,
    StudyState,
    Trial,
    TrialState,
    Worker,
)

SPACE: dict[str, Any] = {
    "lr": {"min": 1e-4, "max": 1.0, "log": True},
    "batch_size": {"values": [16, 32, 64]},
    "layers": {"min": 1, "max": 9, "step": 2},
    "width": {"min": 8, "max": 4096, "log": True},
    "dropout": {"min": 0.0, "max": 0.7, "step": 0.1},
    "kind": {"values": ["a", True, 2, 0.5, "é"]},
    "momentum": {"min": 0.8, "max": 0.99, "when": {"kind": "a"}},
    "fixed": {"value": 3},
}
ODD = (math.nan, math.inf, -math.inf)
MOVES = ("study", "put", "trial", "lease", "report", "report", "report", "report", "checkpoint",
         "requeue", "end", "event", "worker", "reply", "refused")  # fmt: skip


def spec(mode: str = "min", name: str | None = None) -> StudySpec:
    """Return a study document with one parameter of each kind."""
    document = {"objective": {"metric": "loss", "mode": mode}, "run": "external", "space": SPACE}
    return StudySpec.model_validate({**document, **({"name": name} if name else {})})


def random_params(rng: random.Random, study: Study) -> dict[str, Any]:
    """Draw a point of the space."""
    point: dict[str, Any] = {}
    for name in study.space.active(point):
        parameter = study.space.parameters[name]
        if isinstance(parameter, Categorical):
            point[name] = rng.choice(parameter.values)
        else:
            point[name] = parameter.nearest(rng.uniform(parameter.low, parameter.high))
    return point


class History:
    """Draws commands that do what the service does, from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.count = 0

    def command(self, *, fails: bool = True) -> Callable[[Transaction], None]:
        """Return the next command. If it `fails` it raises Conflict with changes made before."""
        move = self.rng.choice(MOVES) if self.count > 2 else "study"
        return self._next("event" if move == "refused" and not fails else move)

    def refused(self) -> Callable[[Transaction], None]:
        """Return a command that changes much and then raises Conflict."""
        return self._next("refused")

    def _next(self, move: str) -> Callable[[Transaction], None]:
        self.count += 1
        self.now += timedelta(microseconds=self.rng.randrange(1, 10**8))
        seed, now, count = self.rng.getrandbits(32), self.now, self.count
        return lambda tx: _Move(tx, random.Random(seed), now, count).make(move)


class _Move:
    def __init__(self, tx: Transaction, rng: random.Random, now: datetime, count: int) -> None:
        self.tx, self.rng, self.now, self.count = tx, rng, now, count

    def make(self, move: str) -> None:
        getattr(self, f"_{move}")()

    def _any_study(self) -> Study:
        return self.rng.choice(self.tx.studies())

    def _any_trial(self, *states: TrialState) -> Trial | None:
        trials = [t for t in self.tx.trials(self._any_study().study_id) if t.state in states]
        return self.rng.choice(trials) if trials else None

    def _study(self) -> None:
        if len(self.tx.studies()) >= 3:
            self._trial()
            return
        mode = self.rng.choice(["min", "max"])
        self.tx.new_study(f"study-{self.count}", spec(mode), "someone", self.now)

    def _put(self) -> None:
        study = self._any_study()
        state = self.rng.choice(list(StudyState))
        why = self.rng.choice([None, *EndReason])
        self.tx.put_study(study.evolve(state=state, stopping=why, started_at=self.now))

    def _trial(self) -> None:
        study, origin = self._any_study(), self.rng.choice(list(Origin))
        seed, note = self.rng.getrandbits(31), self.rng.choice(["", "like trial 3"])
        trial = self.tx.new_trial(
            study.study_id, random_params(self.rng, study), origin, seed, self.now, note
        )
        if self.rng.random() < 0.2:
            self.tx.put_trial(trial.evolve(reports=(Report(1, 0.5, 1.0), Report(2, 0.25, 0.5))))

    def _lease(self) -> None:
        if (trial := self._any_trial(TrialState.WAITING)) is None:
            return
        attempt, step = trial.attempt + 1, trial.checkpoint.step if trial.checkpoint else 0
        lease = Lease(
            token=f"token-{trial.trial_id}-{attempt}", study_id=trial.study_id,
            number=trial.number, attempt=attempt, worker_id=self.rng.choice([None, "w1"]),
            token_id=f"t-{attempt}",
        )  # fmt: skip
        self.tx.open_attempt(trial, lease, self.now)
        self.tx.put_trial(
            trial.evolve(
                state=TrialState.RUNNING, attempt=attempt, lease=lease, held_by=lease.token_id,
                started_at=trial.started_at or self.now, reason="",
                reports=tuple(r for r in trial.reports if r.step <= step),
                marks=tuple(m for m in trial.marks if m.step <= step),
            )
        )  # fmt: skip

    def _report(self) -> None:
        if (trial := self._any_trial(TrialState.RUNNING)) is None:
            return
        step = max(1, trial.last_step + self.rng.choice([1, 1, 1, 2, -1]))
        value = self.rng.choice([*ODD, 1.0]) if self.rng.random() < 0.1 else self.rng.random()
        if any(r.step == step for r in trial.reports):
            return
        if self.tx.stored_report(trial.study_id, trial.number, trial.attempt, step):
            return
        report = Report(step, value, trial.lr_factor)
        self.tx.add_report(trial, trial.attempt, report, {"acc": value}, self.now)
        marks = trial.marks
        if self.rng.random() < 0.4:
            marks += (RungMark(self.rng.randrange(2), len(marks), step, value),)
        reports = tuple(sorted((*trial.reports, report), key=lambda r: r.step))
        factor = trial.lr_factor * self.rng.choice([1.0, 0.5])
        self.tx.put_trial(trial.evolve(reports=reports, marks=marks, lr_factor=factor))

    def _checkpoint(self) -> None:
        if (trial := self._any_trial(TrialState.RUNNING)) is None or not trial.reports:
            return
        step, old = self.rng.choice(trial.reports).step, trial.checkpoint
        if old is not None and old.attempt == trial.attempt and old.step >= step:
            return
        checkpoint = Checkpoint(trial.attempt, step, "0" * 64, 10, f"{trial.trial_id}/{step}.pt")
        self.tx.add_checkpoint(trial, checkpoint, self.now)
        self.tx.put_trial(trial.evolve(checkpoint=checkpoint))

    def _requeue(self) -> None:
        if (trial := self._any_trial(TrialState.RUNNING)) is None:
            return
        end = self.rng.choice([AttemptEnd.LOST, AttemptEnd.RELEASED, AttemptEnd.FAILED])
        self.tx.close_attempt(trial, end, self.now)
        failures = trial.failures + (end is not AttemptEnd.RELEASED)
        waiting = trial.evolve(state=TrialState.WAITING, lease=None, failures=failures)
        self.tx.put_trial(waiting)

    def _end(self) -> None:
        if (trial := self._any_trial(TrialState.RUNNING, TrialState.WAITING)) is None:
            return
        outcome = Outcome.CANCELLED
        if trial.lease is not None:
            outcome = self.rng.choice(list(Outcome))
            self.tx.close_attempt(trial, AttemptEnd.ENDED, self.now)
        value = self.rng.random() if outcome in (Outcome.COMPLETE, Outcome.CONVERGED) else None
        ended = trial.evolve(
            state=TrialState.ENDED, outcome=outcome, value=value, lease=None,
            reason=f"it was {outcome}", ended_at=self.now,
        )  # fmt: skip
        self.tx.put_trial(ended)

    def _event(self) -> None:
        study = self._any_study()
        data = {"value": self.rng.random(), "rule": "asha", "none": None}
        event = Event(
            study_id=study.study_id, kind=EventKind.RUNG, at=self.now, number=1, data=data
        )
        self.tx.add_event(event)

    def _worker(self) -> None:
        name = self.rng.choice(["w1", "w2", "w3"])
        if any(w.worker_id == name for w in self.tx.workers()) and self.rng.random() < 0.5:
            self.tx.drop_worker(name)
            return
        self.tx.put_worker(
            Worker(
                worker_id=name, name=name, host="h", slots=2, gpus=("0", "1"),
                labels={"gpu": "a100"}, allow=("pkg:*",), tasks=("digits",),
                registered_at=self.now, seen_at=self.now,
                allow_commands=("python train.py *",), allow_env=("WANDB_*",),
            )
        )  # fmt: skip

    def _reply(self) -> None:
        self.tx.put_reply(f"key-{self.count}", "digest", 200, b'{"\xc3\xa9": 1}', self.now)

    def _refused(self) -> None:
        for move in ("trial", "report", "end", "event", "worker", "requeue", "study", "reply"):
            self.make(move)
        raise Conflict("refused after it changed much")


def canonical(memory: Memory) -> str:
    """Return a text that is equal for equal memories; NaN is equal to NaN here."""
    ids = [s.study_id for s in memory.studies()]
    order = [(i, [t.number for t in memory.trials(i)]) for i in ids]
    return "\n".join([repr(order), *_lines(memory.tables, "")])


def _lines(value: Any, path: str) -> list[str]:
    if isinstance(value, dict):
        keys = sorted(value, key=repr)
        return [line for k in keys for line in _lines(value[k], f"{path}/{k!r}")]
    if isinstance(value, Tables | Counters | Column):
        kept = [f for f in fields(value) if f.compare]
        return [x for f in kept for x in _lines(getattr(value, f.name), f"{path}/{f.name}")]
    return [f"{path} = {value!r}"]
