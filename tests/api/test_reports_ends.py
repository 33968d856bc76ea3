"""Finish, fail, release: each ends an attempt once, and answers again the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.api.node import serve, slug
from tuner.decision import Outcome
from tuner.trial import TrialState

pytestmark = pytest.mark.anyio
RATED: dict[str, Any] = {
    "space": {"lr": {"min": 0.1, "max": 1.0}},
    "budget": {"trials": 50, "steps": 100},
}


async def test_finish_twice(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await node.try_finish(grant)).status_code == 422  # no value
        await node.report(grant, 1, 0.5)
        await node.report(grant, 2, 0.7)
        first = await node.finish(grant)
        assert await node.finish(grant) == first
        assert node.trial(grant).value == 0.5
        reply = await node.try_finish(grant, outcome="failed", error="E")
        assert (reply.status_code, slug(reply.json()["type"])) == (409, "trial-ended")
        reply = await node.try_finish(grant, value=0.1)
        assert reply.status_code == 409


@pytest.mark.parametrize(("which", "value"), [("best", 0.5), ("last", 0.7)])
async def test_a_trials_value_is_its_best_or_last(tmp_path: Path, which: str, value: float) -> None:
    async with serve(tmp_path) as node:
        objective = {"metric": "val_loss", "mode": "min", "value": which}
        await node.submit(**RATED, objective=objective)
        grant, bare = await node.ask(), await node.ask()
        await node.report(grant, 1, 0.5)
        await node.report(grant, 2, 0.7)
        await node.finish(grant)
        assert node.trial(grant).value == value
        await node.finish(bare, value=3.0)
        assert node.trial(bare).value == 3.0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            'Traceback\n  File "a.py", line 1, in f\n    g()\nE: CUDA error\nhint 1\nhint 2',
            "E: CUDA error",
        ),
        ("the process was killed by SIGSEGV", "the process was killed by SIGSEGV"),
        ('Traceback\n  File "a.py", line 1, in f\n    g()', "g()"),
    ],
)
async def test_the_reason_is_the_line_that_names_the_error(
    tmp_path: Path, error: str, reason: str
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        await node.finish(grant, outcome="failed", error=error, retry=False)
        assert node.trial(grant).reason == reason


async def test_a_failed_trial_is_retried_up_to_the_cap(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, retry={"max": 1})
        grant = await node.ask()
        error = "Traceback\n  ...\nValueError: bad"
        after = await node.finish(grant, outcome="failed", error=error)
        assert after.state is TrialState.WAITING
        assert await node.finish(grant, outcome="failed", error=error) == after  # reply lost
        again = await node.ask()
        assert (again.number, again.attempt) == (grant.number, 2)
        after = await node.finish(again, outcome="failed", error=error)
        assert (after.state, after.outcome) == (TrialState.ENDED, Outcome.FAILED)
        assert node.trial(again).reason.endswith("ValueError: bad")


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        ({"outcome": "failed", "error": "no such function", "retry": False}, Outcome.FAILED),
        ({"outcome": "oom", "error": "CUDA out of memory"}, Outcome.OOM),  # not retried blindly
        ({"outcome": "diverged"}, Outcome.DIVERGED),
    ],
)
async def test_ends_that_are_not_retried(
    tmp_path: Path, body: dict[str, Any], outcome: Outcome
) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask()
        assert (await node.finish(grant, **body)).outcome is outcome
        assert (await node.finish(grant, **body)).outcome is outcome
        assert (await node.try_finish(grant, value=1.0)).status_code == 409


async def test_release_counts_for_nothing(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED, retry={"max": 0})
        for attempt in range(1, 5):
            grant = await node.ask()
            assert (grant.number, grant.attempt) == (0, attempt)
            first = await node.release(grant)
            assert await node.release(grant) == first
        assert (node.trial(grant).failures, node.trial(grant).state) == (0, TrialState.WAITING)


async def test_a_finish_with_a_key_is_answered_again(tmp_path: Path) -> None:
    async with serve(tmp_path) as node:
        await node.submit(**RATED)
        grant = await node.ask(key="a1")
        assert await node.ask(key="a1") == grant
        body = {"attempt": 1, "value": 2.0}
        first = await node.post(f"/leases/{grant.lease}/finish", body, key="f1")
        again = await node.post(f"/leases/{grant.lease}/finish", body, key="f1")
        assert (first.status_code, again.content) == (200, first.content)
