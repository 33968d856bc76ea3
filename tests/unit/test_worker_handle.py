"""The trial's handle in a child: levels, waits, and being asked to leave."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuner.decision import Action
from tuner.errors import InvalidInput, ReportMismatch, TrialInterrupted
from tuner.wire import DecisionView
from tuner.worker.handle import ChildHandle
from tuner.worker.messages import (
    Decided,
    Later,
    Leave,
    Reported,
    Saved,
    Start,
    ToChild,
    ToParent,
)


class FakeParent:
    """The other end of the channel. `answer` makes its messages; it counts waits in vain."""

    def __init__(self, answer: Callable[[Reported], list[ToChild]]) -> None:
        self.answer = answer
        self.sent: list[ToParent] = []
        self.inbox: deque[ToChild] = deque()
        self.waits: list[float] = []

    def send(self, message: ToParent) -> None:
        self.sent.append(message)
        if isinstance(message, Reported):
            self.inbox.extend(self.answer(message))

    def receive(self, timeout: float | None) -> ToChild | None:
        if self.inbox:
            return self.inbox.popleft()
        assert timeout is not None
        if timeout > 0:
            self.waits.append(timeout)
        return None

    @property
    def reports(self) -> list[Reported]:
        return [message for message in self.sent if isinstance(message, Reported)]


def decided(report: Reported, **decision: Any) -> list[ToChild]:
    return [Decided(seq=report.seq, decision=DecisionView(**decision))]


def silent(_: Reported) -> list[ToChild]:
    return []


def handle_of(parent: FakeParent, work: Path = Path(), **about: Any) -> ChildHandle:
    start = Start(
        study="s",
        number=3,
        attempt=2,
        params={"lr": 0.1},
        seed=5,
        steps=10,
        metric="val_loss",
        kind="entrypoint",
        name="a:b",
        work=str(work),
        report_timeout=4.0,
        **about,
    )
    return ChildHandle(parent, start, clock=lambda: 0.0)


def test_a_stop_that_came_meanwhile_is_a_reason_to_end() -> None:
    parent = FakeParent(silent)
    handle = handle_of(parent)
    stop = DecisionView(action=Action.STOP)
    parent.inbox.append(Decided(seq=0, decision=stop))
    assert handle.should_stop
    assert not handle.left  # it is over, and not given back
    assert handle.report(1, 1.0).stop


def test_it_shows_the_trial() -> None:
    handle = handle_of(FakeParent(silent), lr_factor=0.25)
    assert (handle.study, handle.number, handle.attempt) == ("s", 3, 2)
    assert (dict(handle.params), handle.seed, handle.steps) == ({"lr": 0.1}, 5, 10)
    assert handle.lr_factor == 0.25
    assert handle.resume is None
    assert not handle.should_stop


def test_each_report_names_the_level_before_its_decision() -> None:
    parent = FakeParent(lambda r: decided(r, lr_factor=0.5**r.step))
    handle = handle_of(parent)
    assert [handle.report(step, 1.0).lr_factor for step in (1, 2, 3)] == [0.5, 0.25, 0.125]
    assert [r.lr_factor for r in parent.reports] == [1.0, 0.5, 0.25]


def test_an_absent_server_is_waited_for_once() -> None:
    parent = FakeParent(silent)
    handle = handle_of(parent)
    for step in range(1, 20):
        assert handle.report(step, 1.0).lr_factor == 1.0
    assert parent.waits == [4.0]
    assert len(parent.reports) == 19


def test_a_report_does_not_wait_when_told_that_the_server_is_away() -> None:
    parent = FakeParent(lambda r: [Later(seq=r.seq)])
    handle = handle_of(parent)
    for step in range(1, 5):
        handle.report(step, 1.0)
    assert parent.waits == []


def test_it_waits_again_once_all_was_answered() -> None:
    parent = FakeParent(silent)
    handle = handle_of(parent)
    handle.report(1, 1.0)
    handle.report(2, 1.0)
    parent.inbox += decided(parent.reports[0], lr_factor=0.5)
    handle.report(3, 1.0)
    assert len(parent.waits) == 1  # report 2 is still open
    parent.inbox += [m for r in parent.reports[1:] for m in decided(r, lr_factor=0.25)]
    handle.report(4, 1.0)
    assert len(parent.waits) == 2


def test_a_late_decision_is_in_force_after_the_next_report() -> None:
    parent = FakeParent(silent)
    handle = handle_of(parent)
    handle.report(1, 1.0)
    parent.inbox += decided(parent.reports[0], lr_factor=0.5)
    assert not handle.should_stop  # reads the message
    assert handle.lr_factor == 1.0
    assert handle.report(2, 1.0).lr_factor == 0.5
    assert [r.lr_factor for r in parent.reports] == [1.0, 1.0]


def test_after_a_stop_nothing_is_sent() -> None:
    parent = FakeParent(lambda r: decided(r, action=Action.STOP, reason="enough"))
    handle = handle_of(parent)
    assert handle.report(1, 1.0).stop
    assert handle.stopped
    assert handle.report(2, 1.0).reason == "enough"
    assert len(parent.reports) == 1


def test_a_late_stop_comes_with_the_next_report() -> None:
    parent = FakeParent(silent)
    handle = handle_of(parent)
    handle.report(1, 1.0)
    parent.inbox += decided(parent.reports[0], action=Action.STOP)
    assert handle.report(2, 1.0).stop
    assert len(parent.reports) == 1


@pytest.mark.parametrize(
    ("value", "sent"),
    [(1.5, 1.5), (2, 2.0), (math.nan, None), (math.inf, None), (-math.inf, None)],
)
def test_values(value: float, sent: float | None) -> None:
    parent = FakeParent(decided)
    handle_of(parent).report(1, value, {"a": 1, "bad": math.nan})
    assert parent.reports[0].value == sent
    assert parent.reports[0].metrics == {"a": 1.0}


@pytest.mark.parametrize(
    ("step", "value", "metrics"),
    [
        (-1, 1.0, {}),  # below the first step
        (2**31, 1.0, {}),  # past the last
        (True, 1.0, {}),  # no number
        (1.0, 1.0, {}),  # not whole by type
        (1, "x", {}),
        (1, 1.0, {"a": "x"}),
        (1, 1.0, {"not a name": 1.0}),
    ],
)
def test_what_is_no_report_is_refused(step: Any, value: Any, metrics: Any) -> None:
    parent = FakeParent(silent)
    with pytest.raises(InvalidInput):
        handle_of(parent).report(step, value, metrics)
    assert not parent.sent


def test_a_refused_report_raises_its_error() -> None:
    parent = FakeParent(
        lambda r: [Decided(seq=r.seq, problem="report-mismatch", detail="step 1 was 2.0")]
    )
    with pytest.raises(ReportMismatch, match=r"step 1 was 2\.0"):
        handle_of(parent).report(1, 1.0)


def test_leaving_is_seen_and_a_further_report_interrupts() -> None:
    parent = FakeParent(decided)
    handle = handle_of(parent)
    parent.inbox.append(Leave())
    assert handle.should_stop
    with pytest.raises(TrialInterrupted):
        handle.report(1, 1.0)
    assert handle.left


def test_code_that_does_not_look_is_interrupted_at_its_second_report() -> None:
    parent = FakeParent(decided)
    handle = handle_of(parent)
    parent.inbox.append(Leave())
    handle.report(1, 1.0)
    assert not handle.left
    with pytest.raises(TrialInterrupted):
        handle.report(2, 1.0)
    assert handle.left


def test_a_checkpoint_is_moved_away(tmp_path: Path) -> None:
    parent = FakeParent(silent)
    work = tmp_path / "work"
    work.mkdir()
    handle = handle_of(parent, work)
    for content in ("one", "two"):
        (tmp_path / "file").write_text(content)
        handle.checkpoint(4, tmp_path / "file")
    assert not (tmp_path / "file").exists()
    saved = [Path(m.path) for m in parent.sent if isinstance(m, Saved)]
    assert [path.read_text() for path in saved] == ["one", "two"]
    with pytest.raises(InvalidInput, match="no checkpoint file"):
        handle.checkpoint(4, tmp_path / "file")
