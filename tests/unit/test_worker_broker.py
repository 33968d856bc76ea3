"""The broker and the handle on its other side, over a real socket."""

from __future__ import annotations

import math
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import tuner
from tests.unit.test_worker_handle import FakeParent, decided, handle_of, silent
from tuner.decision import Action
from tuner.errors import InvalidInput, OutsideTrial, ReportMismatch, TrialInterrupted
from tuner.handle import Resume, TrialHandle
from tuner.wire import DecisionView
from tuner.worker.broker import Broker
from tuner.worker.broker_messages import FROM_BROKER, LONGEST, Refused
from tuner.worker.current import SOCKET, being
from tuner.worker.handle import ChildHandle
from tuner.worker.messages import Decided, Kept, Leave, Reported, ResumeFrom, Saved
from tuner.worker.remote import RemoteTrial


@pytest.fixture
def parent() -> FakeParent:
    return FakeParent(lambda report: decided(report, lr_factor=report.lr_factor / 2))


@pytest.fixture
def handle(parent: FakeParent, tmp_path: Path) -> ChildHandle:
    return handle_of(parent, tmp_path, resume=ResumeFrom(step=2, path="/kept/resume-2.ckpt"))


@pytest.fixture
def broker(handle: ChildHandle, tmp_path: Path) -> Iterator[Broker]:
    with Broker(handle, tmp_path) as found:
        yield found


@pytest.fixture
def remote(broker: Broker) -> Iterator[RemoteTrial]:
    found = RemoteTrial(broker.path)
    yield found
    found.close()


def test_the_remote_trial_is_the_same_trial(remote: RemoteTrial, handle: ChildHandle) -> None:
    trial: TrialHandle = remote
    assert (trial.study, trial.number, trial.attempt) == ("s", 3, 2)
    assert (dict(trial.params), trial.seed, trial.steps) == ({"lr": 0.1}, 5, 10)
    assert trial.resume == Resume(step=2, path=Path("/kept/resume-2.ckpt"))
    assert trial.lr_factor == handle.lr_factor == 1.0
    assert not trial.should_stop


def test_it_has_all_that_a_handle_has() -> None:
    names = {name for name in vars(TrialHandle) if not name.startswith("_")}
    for kind in (RemoteTrial, ChildHandle, tuner.LeasedTrial):
        assert names <= set(dir(kind)), kind


def test_a_report_is_the_child_s(remote: RemoteTrial, parent: FakeParent) -> None:
    first = remote.report(3, 0.5, {"acc": 0.9, "bad": math.nan})
    assert (first.action, first.lr_factor, remote.lr_factor) == (Action.CONTINUE, 0.5, 0.5)
    assert remote.report(4, math.inf).lr_factor == 0.25
    assert [(r.step, r.value, r.lr_factor, r.metrics) for r in parent.reports] == [
        (3, 0.5, 1.0, {"acc": 0.9}),
        (4, None, 0.5, {}),
    ]


def test_files_are_kept_through_the_child(
    remote: RemoteTrial, parent: FakeParent, tmp_path: Path
) -> None:
    (tmp_path / "plot.txt").write_text("curve")
    remote.artifact(tmp_path / "plot.txt", "plots/loss.txt")
    (kept,) = [m for m in parent.sent if isinstance(m, Kept)]
    assert kept.name == "plots/loss.txt"
    assert Path(kept.path).read_text() == "curve"
    with pytest.raises(InvalidInput):
        remote.artifact(tmp_path / "absent")


def test_levels_are_shared_by_all_processes(broker: Broker, parent: FakeParent) -> None:
    one, other = RemoteTrial(broker.path), RemoteTrial(broker.path)
    assert one.report(1, 1.0).lr_factor == 0.5
    assert other.report(2, 1.0).lr_factor == 0.25
    assert [r.lr_factor for r in parent.reports] == [1.0, 0.5]
    one.close()
    other.close()


def test_errors_are_the_child_s(parent: FakeParent, remote: RemoteTrial) -> None:
    parent.answer = lambda r: [Decided(seq=r.seq, problem="report-mismatch", detail="other value")]
    with pytest.raises(ReportMismatch, match="other value"):
        remote.report(1, 1.0)
    with pytest.raises(InvalidInput, match="metric"):
        remote.report(2, 1.0, {"a metric": 1.0})
    with pytest.raises(InvalidInput, match="holds no number"):
        remote.report(2, "much")  # type: ignore[arg-type]
    for step in (-1, 2**31, True, 1.5):
        with pytest.raises(InvalidInput, match="whole number"):
            remote.report(step, 1.0)  # type: ignore[arg-type]
    parent.answer = decided
    assert remote.report(5, 1.0).action is Action.CONTINUE


def test_a_checkpoint_is_handed_over(
    remote: RemoteTrial, parent: FakeParent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.ckpt").write_bytes(b"state")
    remote.checkpoint(4, Path("mine.ckpt"))
    (saved,) = [message for message in parent.sent if isinstance(message, Saved)]
    assert (saved.step, Path(saved.path).read_bytes()) == (4, b"state")
    assert not Path("mine.ckpt").exists()
    with pytest.raises(InvalidInput, match="no checkpoint file"):
        remote.checkpoint(5, Path("absent.ckpt"))


def test_text_goes_to_the_log(remote: RemoteTrial, capfd: pytest.CaptureFixture[str]) -> None:
    remote.log("one line\nand another")
    assert capfd.readouterr().out == "one line\nand another\n"


def test_whoever_looks_knows_that_it_should_leave(remote: RemoteTrial, parent: FakeParent) -> None:
    parent.inbox.append(Leave())
    assert remote.should_stop
    with pytest.raises(TrialInterrupted):
        remote.report(1, 1.0)


def test_a_report_says_so_once(remote: RemoteTrial, parent: FakeParent) -> None:
    parent.answer = lambda report: [Leave(), *decided(report)]
    assert not remote.report(1, 1.0).stop
    assert remote.leaving
    remote.log("saving")  # is no look
    with pytest.raises(TrialInterrupted):
        remote.report(2, 1.0)


def test_the_trial_over_ends_all_connections(broker: Broker, remote: RemoteTrial) -> None:
    broker.close()
    with pytest.raises(TrialInterrupted, match="over"):
        remote.report(1, 1.0)
    with pytest.raises(TrialInterrupted, match="over"):
        _ = remote.should_stop
    with pytest.raises(OutsideTrial, match="no trial is under way at"):
        RemoteTrial(broker.path)


def test_nothing_reaches_the_handle_after_the_end(tmp_path: Path) -> None:
    waiting, go = threading.Event(), threading.Event()

    class Slow(FakeParent):
        def receive(self, timeout: float | None) -> Decided | None:
            if timeout:
                waiting.set()
                assert go.wait(60)
            return None

    parent = Slow(silent)
    broker = Broker(handle_of(parent, tmp_path), tmp_path)
    broker.start()
    remote = RemoteTrial(broker.path)
    failed: list[BaseException] = []

    def report() -> None:
        try:
            remote.report(1, 1.0)
        except TrialInterrupted as exc:
            failed.append(exc)

    reporting = threading.Thread(target=report)
    reporting.start()
    assert waiting.wait(60)
    closing = threading.Thread(target=broker.close)
    closing.start()
    reporting.join()  # it sees the end at once ...
    assert closing.is_alive()  # ... and the broker waits for its thread to leave the handle
    go.set()
    closing.join()
    assert len(failed) == 1
    remote.close()


def test_only_this_user_may_connect(broker: Broker) -> None:
    assert stat.S_IMODE(broker.path.stat().st_mode) == 0o600


def test_a_long_path_is_no_hindrance(handle: ChildHandle, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    with Broker(handle, folder) as broker:
        remote = RemoteTrial(broker.path)
        assert remote.number == 3
        remote.close()


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"[]\n",
        b'{"type": "finish"}\n',
        b'{"type": "look", "more": 1}\n',
        b'{"type": "report", "step": "x", "value": 1}\n',
        b'{"type": "log", "text": "' + b"x" * LONGEST + b'"}\n',
    ],
)
def test_what_is_no_message_is_refused(broker: Broker, parent: FakeParent, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(broker.path))
        client.sendall(line)
        with client.makefile("rb") as lines:
            reply = FROM_BROKER.validate_json(lines.readline())
            assert isinstance(reply, Refused)
            assert reply.problem == "malformed"
            assert lines.readline() == b""
    assert parent.sent == []
    other = RemoteTrial(broker.path)
    assert other.number == 3
    other.close()


def _report_in_a_fork(remote: RemoteTrial) -> None:
    try:
        os._exit(0 if remote.report(2, 2.0).lr_factor == 0.25 else 1)
    finally:
        os._exit(2)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_has_a_connection_of_its_own(remote: RemoteTrial, parent: FakeParent) -> None:
    remote.report(1, 1.0)
    pid = os.fork()
    if pid == 0:
        _report_in_a_fork(remote)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert remote.report(3, 3.0).lr_factor == 0.125
    assert [r.step for r in parent.reports] == [1, 2, 3]


def test_the_current_trial_is_the_one_at_hand(
    handle: ChildHandle, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SOCKET, str(broker.path))
    with being(handle):
        assert tuner.current_trial() is handle
    around = tuner.current_trial()
    assert isinstance(around, RemoteTrial)
    assert tuner.current_trial() is around
    around.close()


def test_there_may_be_no_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(SOCKET, raising=False)
    with pytest.raises(OutsideTrial, match=r"current_trial\(default=None\)"):
        tuner.current_trial()
    assert tuner.current_trial(default=None) is None
    mine = tuner.LocalTrial(params={"lr": 0.1})
    assert tuner.current_trial(default=mine) is mine
    monkeypatch.setenv(SOCKET, str(tmp_path / "gone.sock"))
    with pytest.raises(OutsideTrial, match=r"gone\.sock"):
        tuner.current_trial(default=None)  # this trial is over: not the same as none


def test_the_level_follows_what_came_meanwhile(handle: ChildHandle, parent: FakeParent) -> None:
    view = DecisionView.model_validate({"lr_factor": 0.125})
    parent.inbox.append(Decided(seq=0, decision=view))
    assert handle.decision.lr_factor == 1.0
    assert handle.catch_up().lr_factor == 0.125
    handle.report(3, 1.0)
    assert isinstance(parent.sent[-1], Reported)
    assert parent.sent[-1].lr_factor == 0.125


def test_the_remote_trial_is_light() -> None:
    code = "import sys, tuner.worker.remote; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"httpx", "torch", "tuner.spec", "tuner.wire"} & set(ran.stdout.split())
