"""Trials without a server for the callbacks' tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tuner.decision import Action, Decision
from tuner.handle import Resume
from tuner.train.local import LocalReport, LocalTrial

STEPS = 6


def halving(reports: Sequence[LocalReport]) -> Decision:
    """Halve after step 2 and again after step 4."""
    return Decision(lr_factor=0.5 ** (reports[-1].step // 2))


def stopping_at(step: int) -> Callable[[Sequence[LocalReport]], Decision]:
    """Stop after a step."""
    stop, go_on = Decision(action=Action.STOP), Decision()
    return lambda reports: stop if reports[-1].step >= step else go_on


def leaving_at(poll: int) -> Callable[[], bool]:
    """Ask to leave at a poll, from 0, and ever after."""
    polls = iter(range(100_000))
    return lambda: next(polls) >= poll


def trial(**more: Any) -> LocalTrial:
    """Return a trial that is halved on its way."""
    return LocalTrial(params={"lr": 0.1}, seed=3, **{"steps": STEPS, "decide": halving, **more})


def resumed(left: LocalTrial) -> LocalTrial:
    """Return the attempt after one that left: what it reported since its checkpoint is void."""
    resume: Resume | None = left.checkpoints[-1] if left.checkpoints else None
    step = 0 if resume is None else resume.step
    left.reports = [report for report in left.reports if report.step <= step]
    level = halving(left.reports).lr_factor if left.reports else 1.0
    return trial(resume=resume, lr_factor=level)


def curve(*attempts: LocalTrial) -> list[tuple[int, float]]:
    """Return the reports of a trial's attempts."""
    return [(report.step, report.value) for one in attempts for report in one.reports]
