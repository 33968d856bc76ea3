"""The hub and its ranks: calls of all are one call, and who comes apart is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import wait_until
from tests.unit.test_worker_handle import FakeParent, decided, handle_of
from tuner.errors import InvalidInput, RanksApart, ReportMismatch, TrialInterrupted
from tuner.worker.collective import CollectiveTrial
from tuner.worker.hub import Hub
from tuner.worker.messages import Decided, Done, Kept, Leave, Reported, Saved, Start

Act = Callable[[CollectiveTrial], Any]


class Gang:
    """Ranks in threads, around a real hub on a real socket."""

    def __init__(self, parent: FakeParent, folder: Path, ranks: int, patience: float) -> None:
        handle = handle_of(parent, folder)
        start = Start(
            study="s", number=3, attempt=2, params={"lr": 0.1}, seed=5, steps=9, metric="m",
            kind="entrypoint", name="a:b", lr_factor=1.0, work=str(folder), processes=ranks,
            patience=patience,
        )  # fmt: skip
        self.hub = Hub(handle, start)
        self.count = ranks
        self.ranks: list[CollectiveTrial] = []

    def join(self) -> None:
        self.ranks = [CollectiveTrial(self.hub.path, rank) for rank in range(self.count)]

    def all(self, *acts: Act) -> list[Any]:
        """Let each rank act in a thread of its own; return what each returned, or raised."""
        found: list[Any] = [None] * len(self.ranks)
        acts = acts * len(self.ranks) if len(acts) == 1 else acts

        def act(rank: int) -> None:
            try:
                found[rank] = acts[rank](self.ranks[rank])
            except Exception as exc:
                found[rank] = exc

        threads = [threading.Thread(target=act, args=(rank,)) for rank in range(len(self.ranks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        return found


@contextmanager
def gang(
    parent: FakeParent, folder: Path, ranks: int = 2, patience: float = 30.0
) -> Iterator[Gang]:
    with ExitStack() as stack:
        found = Gang(parent, folder, ranks, patience)
        stack.enter_context(found.hub)
        found.join()
        for rank in found.ranks:
            stack.callback(rank.close)
        yield found


def halve(report: Reported) -> list[Any]:
    return decided(report, lr_factor=report.lr_factor / 2)


def test_a_report_of_all_is_one_with_rank_0s_value(tmp_path: Path) -> None:
    parent = FakeParent(halve)
    with gang(parent, tmp_path, ranks=3) as found:
        decisions = found.all(lambda t: t.report(1, 10.0 + t.rank, {"acc": float(t.rank)}))
        assert [d.lr_factor for d in decisions] == [0.5] * 3
        assert [t.lr_factor for t in found.ranks] == [0.5] * 3
        found.all(lambda t: t.report(2, float("nan")))
    assert [(r.step, r.value, r.lr_factor) for r in parent.reports] == [
        (1, 10.0, 1.0),
        (2, None, 0.5),
    ]
    assert parent.reports[0].metrics == {"acc": 0.0}


def test_ranks_know_the_trial(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path) as found:
        for rank, trial in enumerate(found.ranks):
            assert (trial.rank, trial.processes) == (rank, 2)
            assert (trial.study, trial.number, trial.attempt) == ("s", 3, 2)
            assert (trial.params["lr"], trial.seed, trial.steps) == (0.1, 5, 9)
            assert (trial.resume, trial.should_stop, trial.lr_factor) == (None, False, 1.0)


def test_a_stop_reaches_all(tmp_path: Path) -> None:
    parent = FakeParent(lambda r: decided(r, action="stop", reason="rung"))
    with gang(parent, tmp_path) as found:
        assert all(d.stop and d.reason == "rung" for d in found.all(lambda t: t.report(1, 1.0)))
        assert all(t.stopped for t in found.ranks)


def test_being_asked_to_leave_is_seen_by_all_in_the_same_call(tmp_path: Path) -> None:
    parent = FakeParent(halve)
    with gang(parent, tmp_path) as found:
        found.all(lambda t: t.report(1, 1.0))
        parent.inbox.append(Leave())
        assert [t.should_stop for t in found.ranks] == [False, False]
        found.all(lambda t: t.report(2, 1.0))
        assert [t.should_stop for t in found.ranks] == [True, True]
        assert [t.left for t in found.ranks] == [True, True]
        again = found.all(lambda t: t.report(3, 1.0))
        assert all(isinstance(one, TrialInterrupted) for one in again)


def test_between_reports_meet_tells_of_a_leave(tmp_path: Path) -> None:
    parent = FakeParent(halve)
    with gang(parent, tmp_path) as found:
        assert found.all(lambda t: t.meet()) == [False, False]
        parent.inbox.append(Leave())
        assert found.all(lambda t: t.meet()) == [True, True]


def test_any_rank_may_ask_all_to_stop(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path) as found:
        found.ranks[1].ask_to_stop()
        assert found.all(lambda t: t.meet()) == [True, True]
        assert [t.left for t in found.ranks] == [False, False]


def test_rank_0s_checkpoint_is_handed_over(tmp_path: Path) -> None:
    parent = FakeParent(halve)
    (tmp_path / "mine").write_text("state")
    with gang(parent, tmp_path) as found:
        found.all(
            lambda t: t.checkpoint(1, tmp_path / "mine"),
            lambda t: t.checkpoint(1, tmp_path / "never-written"),
        )
        (saved,) = [m for m in parent.sent if isinstance(m, Saved)]
        assert Path(saved.path).read_text() == "state"
        assert not (tmp_path / "mine").exists()
        refused = found.all(lambda t: t.checkpoint(2, tmp_path / "mine"))
        assert all(isinstance(one, InvalidInput) for one in refused)


def test_any_rank_may_keep_a_file(tmp_path: Path) -> None:
    parent = FakeParent(halve)
    (tmp_path / "plot.txt").write_text("curve")
    with gang(parent, tmp_path) as found:
        found.ranks[1].artifact(tmp_path / "plot.txt")
        (kept,) = [m for m in parent.sent if isinstance(m, Kept)]
        assert kept.name == "plot.txt"
        assert Path(kept.path).read_text() == "curve"
        with pytest.raises(InvalidInput):
            found.ranks[0].artifact(tmp_path / "absent")


def test_what_all_have_is_gathered_in_order(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path, ranks=3) as found:
        large = b"x" * (3 << 20)
        gathered = found.all(lambda t: t._gather((t.rank, large)))
        assert gathered == [[(0, large), (1, large), (2, large)]] * 3


def test_a_refusal_of_the_servers_is_raised_in_all(tmp_path: Path) -> None:
    problem = ReportMismatch.slug
    parent = FakeParent(lambda r: [Decided(seq=r.seq, problem=problem, detail="another value")])
    with gang(parent, tmp_path) as found:
        raised = found.all(lambda t: t.report(1, 1.0))
        assert all(isinstance(one, ReportMismatch) for one in raised)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (lambda t: t.report(1, 1.0), lambda t: t.report(2, 1.0), "report(step 1)"),
        (lambda t: t.report(1, 1.0), lambda t: t.meet(), "meet()"),
        (lambda t: t.report(1, 1.0), lambda t: t.end(Done(outcome="complete")), "has returned"),
        (
            lambda t: t.report(1, 1.0),
            lambda t: t.end(Done(outcome="failed", error="x")),
            "rank 1 has failed",
        ),
        (
            lambda t: t.report(1, 1.0),
            lambda t: t._socket.shutdown(socket.SHUT_RDWR),
            "rank 1 is gone",
        ),
    ],
)
def test_who_comes_apart_is_told_to_the_others(
    tmp_path: Path, one: Act, other: Act, said: str
) -> None:
    parent = FakeParent(halve)
    with gang(parent, tmp_path) as found:
        first, _ = found.all(one, other)
        assert isinstance(first, RanksApart)
        assert said in first.detail
        # from now on nothing is waited for
        with pytest.raises(RanksApart):
            found.ranks[0].report(9, 1.0)
    assert parent.reports == []


def test_a_rank_that_does_not_come_is_named(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path, ranks=3, patience=0.2) as found:
        raised = found.all(lambda t: t.report(1, 1.0), lambda t: t.report(1, 1.0), lambda t: None)
        assert all(isinstance(one, RanksApart) for one in raised[:2])
        assert "rank 2 did not come within 0.2 s while rank 0 waits" in raised[0].detail


def test_a_rank_joins_once(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path) as found:
        for rank in (1, 2, -1):
            with pytest.raises(RanksApart):
                CollectiveTrial(found.hub.path, rank)
    with pytest.raises(RanksApart, match="is over"):
        CollectiveTrial(found.hub.path, 0)


@pytest.mark.parametrize("step", [True, -1, 2**31, 1.5, "1"])
def test_what_is_no_step_is_refused_before_anybody_waits(tmp_path: Path, step: Any) -> None:
    with gang(FakeParent(halve), tmp_path) as found, pytest.raises(InvalidInput):
        found.ranks[0].report(step, 1.0)


TRACE = 'Traceback (most recent call last):\n  File "a.py", line 1, in main\n    raise E\n'


def end(outcome: Any, **more: Any) -> Act:
    return lambda trial: trial.end(Done(outcome=outcome, **more))


@pytest.mark.parametrize(
    ("ends", "outcome", "error"),
    [
        ([end("complete", value=1.0), end("complete", value=2.0)], "complete", ""),
        ([end("left"), end("left")], "left", ""),
        ([end("complete"), end("failed", error="why")], "failed", "rank 1: why"),
        ([end("oom", error="why"), end("complete")], "oom", "rank 0: why"),
        ([end("complete"), end("failed")], "failed", "rank 1: "),
        (
            [end("complete"), end("failed", error=TRACE + "E: a\nb\n")],
            "failed",
            TRACE + "rank 1: E: a\nb\n",
        ),
    ],
)
def test_how_the_trial_ended(tmp_path: Path, ends: list[Act], outcome: str, error: str) -> None:
    with gang(FakeParent(halve), tmp_path) as found:
        assert found.hub.done() is None
        found.all(*ends)
        found.hub.settle(30.0)
        done = found.hub.done()
    assert done is not None
    assert (done.outcome, done.error) == (outcome, error)
    assert done.value == (1.0 if outcome == "complete" else None)
    assert done.clean == (outcome in ("complete", "left"))


def test_the_first_that_fails_by_itself_tells_why(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path, ranks=3) as found:
        found.ranks[2]._socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: found.hub.failed, "the hub knows")
        (raised, *_) = found.all(lambda t: t.report(1, 1.0), lambda _: None, lambda _: None)
        assert isinstance(raised, RanksApart)
        found.ranks[0].end(Done(outcome="failed", error=str(raised)))
        found.ranks[1].end(Done(outcome="failed", error="terminated"))
        found.hub.settle(30.0)
        done = found.hub.done()
    assert done is not None
    assert (done.outcome, done.vanished) == ("failed", True)
    assert done.error.startswith("rank 2 (process ")


@pytest.mark.parametrize("caught", [False, True])
def test_ranks_that_came_apart_fail_whatever_they_say(tmp_path: Path, caught: bool) -> None:
    with gang(FakeParent(halve), tmp_path) as found:
        found.all(lambda t: t.report(1 + t.rank, 1.0))
        for rank in found.ranks:
            rank.end(
                Done(outcome="complete" if caught else "failed", error="" if caught else "why")
            )
        found.hub.settle(30.0)
        done = found.hub.done()
    assert done is not None
    assert (done.outcome, done.clean) == ("failed", False)
    assert (
        ("all ranks make the same calls" in done.error) if caught else (done.error == "rank 0: why")
    )


def test_a_rank_killed_for_not_coming_is_not_said_to_have_died(tmp_path: Path) -> None:
    with gang(FakeParent(halve), tmp_path, patience=0.2) as found:
        (raised, _) = found.all(lambda t: t.report(1, 1.0), lambda _: None)
        found.ranks[0].end(Done(outcome="failed", error=str(raised)))
        found.ranks[1]._socket.shutdown(socket.SHUT_RDWR)
        found.hub.settle(30.0)
        done = found.hub.done()
    assert done is not None
    assert "rank 1 did not come within" in done.error
    assert not done.vanished
