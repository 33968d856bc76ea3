"""A trial's life against a small model: whatever workers say, in whatever order, it ends once.

Hypothesis plays workers that ask, report, finish, release, fall silent and speak again much later,
and the person who cancels. With `--hypothesis-profile long` there are 10,000 sequences a database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api import reaper
from tests.api.in_process import API
from tests.api.node import Clock, Node, item, serve, slug
from tuner.trial import Trial
from tuner.wire import LeaseGrant, Leases, ReportResult

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
TRIALS, STEPS, RETRIES, LEASE_S = 3, 4, 1, 30.0
VALUES = st.sampled_from([0.5, 0.25, 1.0, None])
OUTCOMES = st.sampled_from(["complete", "failed", "diverged", "oom"])


@dataclass
class Model:
    """What a trial must look like. `said`: the end was told by the trial, not decided."""

    state: Literal["waiting", "running", "ended"] = "waiting"
    outcome: str | None = None
    said: bool = False
    attempt: int = 0
    failures: int = 0
    value: float | None = None
    reports: dict[int, float | None] = field(default_factory=dict)

    @property
    def best(self) -> float | None:
        return min((v for v in self.reports.values() if v is not None), default=None)

    def end(self, outcome: str, value: float | None = None, *, said: bool = False) -> None:
        assert self.state != "ended"
        self.state, self.outcome, self.value, self.said = "ended", outcome, value, said

    def lose(self) -> None:
        self.failures += 1
        self.state = "waiting"
        if self.failures > RETRIES:
            self.end("failed")

    def report(self, step: int, value: float | None) -> str:
        """Take a report under the lease in force; return the decision's action or the refusal."""
        if step in self.reports:
            return "continue" if self.reports[step] == value else "report-mismatch"
        newest = step > max(self.reports, default=-1)
        self.reports[step] = value
        if newest and value is None:
            self.end("diverged")
        elif newest and step >= STEPS:
            self.end("complete", self.best)
        return "stop" if self.state == "ended" else "continue"

    def late(self, attempt: int, step: int, value: float | None) -> str:
        """Answer a report under a lease that is void."""
        if attempt != self.attempt or self.state != "ended":
            return "stale-attempt"
        if step not in self.reports:
            return "trial-ended"
        if self.reports[step] != value:
            return "report-mismatch"
        return "stop" if step == max(self.reports) else "trial-ended"

    def finish(self, outcome: str, value: float | None, *, retry: bool) -> str:
        """End under the lease in force."""
        if outcome == "complete":
            value = self.best if value is None else value
            if value is None:
                return "invalid-input"
            self.end("complete", value, said=True)
        elif outcome == "failed":
            self.failures += 1
            self.state = "waiting"
            if not retry or self.failures > RETRIES:
                self.end("failed", said=True)
        else:
            self.end(outcome, said=True)
        return "ok"

    def finish_late(self, attempt: int, outcome: str, value: float | None, *, retry: bool) -> str:
        """Answer a finish under a lease that is void."""
        if attempt != self.attempt or self.state == "running":
            return "stale-attempt"
        if self.state == "waiting":
            return "ok" if outcome == "failed" and retry else "stale-attempt"
        same = outcome == self.outcome and value in (None, self.value)
        decided = not self.said and self.outcome in ("complete", "diverged", "cancelled")
        return "ok" if same or (decided and outcome == "complete") else "trial-ended"


class Lives(RuleBasedStateMachine):
    """One study of three trials, and every lease that was ever given for them."""

    leases: Bundle[LeaseGrant] = Bundle("leases")

    def __init__(self, node: Node, clock: Clock, run: Run[Any], name: str) -> None:
        super().__init__()
        self.node, self.clock, self.run, self.name = node, clock, run, name
        self.trials: dict[int, Model] = {}
        self.cancelled = False
        self.study = self.run(node.submit(**study(name)))

    def held(self, grant: LeaseGrant) -> bool:
        trial = self.trials[grant.number]
        return trial.state == "running" and trial.attempt == grant.attempt

    @rule(target=leases)
    def ask(self) -> Any:
        reply = self.run(self.node.post(f"/studies/{self.name}/ask", {}))
        assert reply.status_code == 200, reply.text
        given = Leases.model_validate_json(reply.content).leases
        waiting = [n for n, t in self.trials.items() if t.state == "waiting"]
        may_start = len(self.trials) < TRIALS and not self.cancelled
        expected = min(waiting) if waiting else len(self.trials) if may_start else None
        assert [g.number for g in given] == ([] if expected is None else [expected])
        for grant in given:
            trial = self.trials.setdefault(grant.number, Model())
            trial.state, trial.reports = "running", {}
            trial.attempt += 1
            assert grant.attempt == trial.attempt
        return multiple(*given)

    @rule(grant=leases, step=st.integers(1, STEPS), value=VALUES)
    def report(self, grant: LeaseGrant, step: int, value: float | None) -> None:
        trial, held = self.trials[grant.number], self.held(grant)
        wanted = trial.report(step, value) if held else trial.late(grant.attempt, step, value)
        (result,) = self.run(self.node.results([item(grant, step, value)]))
        assert answer(result) == wanted

    @rule(
        grant=leases,
        outcome=OUTCOMES,
        value=st.sampled_from([None, 0.125]),
        retry=st.booleans(),
    )
    def finish(self, grant: LeaseGrant, outcome: str, value: float | None, retry: bool) -> None:
        trial = self.trials[grant.number]
        value = value if outcome == "complete" else None
        wanted = (
            trial.finish(outcome, value, retry=retry)
            if self.held(grant)
            else trial.finish_late(grant.attempt, outcome, value, retry=retry)
        )
        body = {"outcome": outcome, "value": value, "retry": retry, "error": "ValueError: x"}
        assert said(self.run(self.node.try_finish(grant, **body))) == wanted

    @rule(grant=leases)
    def release(self, grant: LeaseGrant) -> None:
        trial = self.trials[grant.number]
        wanted = "ok" if grant.attempt == trial.attempt else "stale-attempt"
        if self.held(grant):
            trial.state = "waiting"
        path = f"/leases/{grant.lease}/release"
        assert said(self.run(self.node.post(path, {"attempt": grant.attempt}))) == wanted

    @rule(grants=st.lists(leases, max_size=2))
    def fall_silent(self, grants: list[LeaseGrant]) -> None:
        """Let a lease's term pass in which only some of them are renewed."""
        self.clock.seconds += LEASE_S - 1
        self.run(self.node.beat(*grants))
        kept = {grant.number for grant in grants if self.held(grant)}
        self.clock.seconds += 2
        self.run(reaper.sweep(self.node.services))
        for number, trial in self.trials.items():
            if trial.state == "running" and number not in kept:
                trial.lose()

    @precondition(lambda self: len(self.trials) == TRIALS and not self.cancelled)
    @rule()
    def cancel(self) -> None:
        over = all(t.state == "ended" for t in self.trials.values())
        path = f"{API}/studies/{self.name}"
        reply = self.run(self.node.http.patch(path, json={"state": "cancelled"}))
        assert said(reply) == ("study-state" if over else "ok")
        self.cancelled = True
        for trial in self.trials.values():
            if trial.state != "ended":
                trial.end("cancelled")

    @invariant()
    def trials_are_as_the_model_says(self) -> None:
        assert [seen(t) for t in self.node.trials(self.study)] == [
            seen(t) for t in self.trials.values()
        ]

    def teardown(self) -> None:
        """Each trial has told once of its end, if it ended, and never else."""
        for number, trial in self.trials.items():
            reply = self.run(self.node.http.get(f"{API}/studies/{self.name}/trials/{number}"))
            ends = [e for e in reply.json()["events"] if e["kind"] == "ended"]
            assert [e["data"]["outcome"] for e in ends] == ([trial.outcome] * bool(trial.outcome))
        self.run(self.node.http.patch(f"{API}/studies/{self.name}", json={"state": "cancelled"}))


def study(name: str) -> Mapping[str, Any]:
    return {
        "name": name,
        "budget": {"trials": TRIALS, "steps": STEPS, "max_failures": 100},
        "retry": {"max": RETRIES},
    }


def seen(trial: Model | Trial) -> tuple[object, ...]:
    """Return what the model foretells of a trial; of its value where nothing cuts it short."""
    value = trial.value if trial.outcome == "complete" else None
    return (trial.state, trial.outcome, trial.attempt, trial.failures, value)


def answer(result: ReportResult) -> str:
    """Return a decision's action, or the slug of the refusal."""
    if result.problem is not None:
        return slug(result.problem.type)
    assert result.decision is not None
    return str(result.decision.action)


def said(reply: httpx.Response) -> str:
    """Return "ok", or the slug of the refusal."""
    return "ok" if reply.is_success else slug(reply.json()["type"])


@pytest.fixture(params=["sqlite", "postgresql"])
def chosen(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """Give the settings that choose a database."""
    lease = {"lease_s": LEASE_S, "heartbeat_s": 10.0}
    if request.param == "sqlite":
        yield lease
    else:
        yield lease | {"db_url": request.getfixturevalue("postgres_url")}


def test_a_trial_ends_once_whatever_is_said(tmp_path: Path, chosen: dict[str, Any]) -> None:
    clock, numbers = Clock(), count()
    with asyncio.Runner() as runner:
        serving = serve(tmp_path, clock, **chosen)
        node = runner.run(serving.__aenter__())
        try:

            class Here(Lives):
                def __init__(self) -> None:
                    super().__init__(node, clock, runner.run, f"lives-{next(numbers)}")

            run_state_machine_as_test(Here, settings=settings(stateful_step_count=25))
        finally:
            runner.run(serving.__aexit__(None, None, None))
