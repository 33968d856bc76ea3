"""A leased trial in an own loop: reports, decisions, ends and the heartbeat."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.unit.fakes import FakeServer, grant, problem, refusal
from tuner.client import LeasedTrial
from tuner.decision import Action, Outcome
from tuner.errors import InvalidInput, NoTrial, ReportMismatch, StaleAttempt, Unavailable
from tuner.handle import TrialHandle
from tuner.trial import TrialState

CONTINUE = {"results": [{"decision": {"action": "continue", "lr_factor": 1.0}}]}
HALVE = {"results": [{"decision": {"lr_factor": 0.5, "reason": "plateau"}}]}
STOP = {"results": [{"decision": {"action": "stop", "lr_factor": 0.5, "outcome": "pruned"}}]}
AFTER = {"state": "ended", "outcome": "complete"}
ASK = "/studies/7/ask"
FINISH, RELEASE = "/leases/lease-token-1/finish", "/leases/lease-token-1/release"


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    server.on("POST", ASK, {"leases": [grant()]})
    server.on("POST", "/reports", CONTINUE)
    server.on("POST", FINISH, AFTER)
    server.on("POST", RELEASE, {"state": "waiting"})
    server.on("POST", "/heartbeats", {"results": [{}]})
    return server


def ask(server: FakeServer, **options: Any) -> LeasedTrial:
    return server.client(patience_s=0.3).ask(7, **{"record": False} | options)


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_trial_shows_what_was_leased(server: FakeServer) -> None:
    trial: TrialHandle = ask(server)
    assert (trial.study, trial.number, trial.attempt) == ("digits", 4, 2)
    assert (dict(trial.params), trial.seed, trial.steps) == ({"lr": 0.1}, 11, 27)
    assert (trial.lr_factor, trial.resume, trial.should_stop) == (1.0, None, False)


def test_asking_waits_longer_than_the_server_does(server: FakeServer) -> None:
    ask(server, wait_s=20.0)
    [request] = server.sent("POST", ASK)
    assert request.headers["Idempotency-Key"]
    assert server.bodies("POST", ASK) == [{"wait_s": 20.0}]
    assert request.extensions["timeout"]["read"] == 30.0


def test_nothing_to_lease(server: FakeServer) -> None:
    server.on("POST", ASK, {"leases": [], "idle": True})
    with pytest.raises(NoTrial):
        ask(server)
    with pytest.raises(InvalidInput, match="wait_s"):
        ask(server, wait_s=1000)


def test_each_report_carries_the_level_it_trained_at(server: FakeServer) -> None:
    server.on("POST", "/reports", CONTINUE, HALVE, CONTINUE | HALVE)
    trial = ask(server)
    trial.report(1, 0.9, metrics={"acc": 0.5, "bad": math.inf})
    decision = trial.report(2, 0.9)
    assert (decision.action, decision.lr_factor, decision.reason) == (
        Action.CONTINUE,
        0.5,
        "plateau",
    )
    assert trial.lr_factor == 0.5
    trial.report(3, 0.8)
    items = [body["reports"][0] for body in server.bodies("POST", "/reports")]
    assert [i["lr_factor"] for i in items] == [1.0, 1.0, 0.5]
    assert items[0] == {
        "lease": "lease-token-1",
        "attempt": 2,
        "step": 1,
        "value": 0.9,
        "status": "ok",
        "lr_factor": 1.0,
        "metrics": {"acc": 0.5},
    }


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_divergence(server: FakeServer, value: float) -> None:
    ask(server).report(1, value)
    [body] = server.bodies("POST", "/reports")
    assert (body["reports"][0]["value"], body["reports"][0]["status"]) == (None, "diverged")


@pytest.mark.parametrize(("step", "metrics"), [(-1, {}), (2**31, {}), (1, {"bad name": 1.0})])
def test_a_report_that_breaks_the_rules_is_not_sent(
    server: FakeServer, step: int, metrics: dict[str, float]
) -> None:
    trial = ask(server)
    with pytest.raises(InvalidInput):
        trial.report(step, 0.5, metrics)
    trial.report(2, 0.5)
    assert [len(b["reports"]) for b in server.bodies("POST", "/reports")] == [1]


def test_a_stop_ends_the_trial_without_a_further_request(server: FakeServer) -> None:
    server.on("POST", "/reports", STOP)
    trial = ask(server)
    decision = trial.report(1, 0.9)
    assert decision.stop
    assert decision.outcome is Outcome.PRUNED
    assert trial.should_stop
    assert trial.finish(0.9).outcome is Outcome.PRUNED
    assert trial.report(2, 0.1) == decision
    assert server.sent("POST", FINISH) == []
    assert len(server.sent("POST", "/reports")) == 1


def test_reports_wait_while_the_server_is_away(server: FakeServer) -> None:
    trial = ask(server, report_timeout_s=0.0)
    server.on("POST", "/reports", httpx.ConnectError("refused"))
    assert trial.report(1, 0.9).lr_factor == 1.0
    server.on("POST", "/reports", problem(503, "unavailable", "away"))
    assert not trial.report(2, 0.8).stop
    both = {"results": [*CONTINUE["results"], *CONTINUE["results"], *HALVE["results"]]}
    server.on("POST", "/reports", both)
    assert trial.report(3, 0.7).lr_factor == 0.5
    *_, last = server.bodies("POST", "/reports")
    assert [i["step"] for i in last["reports"]] == [1, 2, 3]


def test_a_long_outage_is_sent_in_batches(server: FakeServer) -> None:
    trial = ask(server, report_timeout_s=0.0)
    server.on("POST", "/reports", httpx.ConnectError("refused"))
    for step in range(1, 1202):
        trial.report(step, 0.5)
    before = len(server.sent("POST", "/reports"))
    server.on("POST", "/reports", {"results": CONTINUE["results"]})
    trial.finish()
    sent = server.bodies("POST", "/reports")[before:]
    assert [len(body["reports"]) for body in sent] == [1000, 201]
    assert [i["step"] for body in sent for i in body["reports"]] == list(range(1, 1202))


def test_what_waits_is_sent_before_the_end(server: FakeServer) -> None:
    trial = ask(server, report_timeout_s=0.0)
    server.on("POST", "/reports", httpx.ConnectError("refused"))
    trial.report(1, 0.9)
    server.on("POST", "/reports", CONTINUE)
    trial.finish()
    assert [r.url.path.rpartition("/")[2] for r in server.requests[-2:]] == ["reports", "finish"]


def test_the_end_is_not_taken_for_granted(server: FakeServer) -> None:
    trial = ask(server)
    server.on("POST", FINISH, problem(503, "unavailable", "away"))
    with pytest.raises(Unavailable):
        trial.finish()
    server.on("POST", FINISH, AFTER)
    assert trial.finish().state is TrialState.ENDED


def test_a_report_that_contradicts_raises(server: FakeServer) -> None:
    answer = {"results": [{"problem": refusal(ReportMismatch("another value at step 1"))}]}
    server.on("POST", "/reports", answer)
    with pytest.raises(ReportMismatch, match="step 1"):
        ask(server).report(1, 0.5)


@pytest.mark.parametrize(
    ("value", "sent"),
    [(None, ("complete", None)), (3, ("complete", 3.0)), (math.nan, ("diverged", None))],
)
def test_finish(server: FakeServer, value: float | None, sent: tuple[str, float | None]) -> None:
    trial = ask(server)
    assert trial.finish(value).outcome is Outcome.COMPLETE
    trial.finish(value)
    [body] = server.bodies("POST", FINISH)
    assert (body["outcome"], body["value"], body["attempt"]) == (*sent, 2)


def test_fail_keeps_the_end_of_the_traceback(server: FakeServer) -> None:
    trial = ask(server)
    trial.fail("x" * 30_000 + "the end", retry=False)
    [body] = server.bodies("POST", FINISH)
    assert (body["outcome"], body["retry"], len(body["error"])) == ("failed", False, 20_000)
    assert body["error"].endswith("the end")


def test_a_block_ends_its_trial_as_complete(server: FakeServer) -> None:
    with ask(server) as trial:
        trial.report(1, 0.5)
    assert server.bodies("POST", FINISH)[0]["outcome"] == "complete"


def test_an_exception_fails_the_trial(server: FakeServer) -> None:
    with pytest.raises(ZeroDivisionError), ask(server):
        _ = 1 / 0
    [body] = server.bodies("POST", FINISH)
    assert body["outcome"] == "failed"
    assert "ZeroDivisionError" in body["error"]


def test_ctrl_c_releases_the_trial(server: FakeServer) -> None:
    with pytest.raises(KeyboardInterrupt), ask(server):
        raise KeyboardInterrupt
    assert server.bodies("POST", RELEASE) == [
        {"attempt": 2, "reason": "KeyboardInterrupt", "share": None}
    ]
    assert server.sent("POST", FINISH) == []


def test_the_exception_of_a_block_is_not_hidden(server: FakeServer) -> None:
    server.on("POST", FINISH, httpx.ConnectError("refused"))
    with pytest.raises(ZeroDivisionError) as caught, ask(server):
        _ = 1 / 0
    assert "trial 4" in caught.value.__notes__[0]


def test_a_block_that_can_not_end_its_trial_lets_the_lease_expire(server: FakeServer) -> None:
    server.on("POST", FINISH, problem(422, "invalid-input", "there is no value"))
    with pytest.raises(InvalidInput, match="no value"), ask(server) as trial:
        pass
    eventually(lambda: not trial._heart.beating)


def test_the_heart_beats_until_the_end(server: FakeServer) -> None:
    server.on("POST", ASK, {"leases": [grant()], "heartbeat_s": 0.01})
    trial = ask(server)
    eventually(lambda: len(server.sent("POST", "/heartbeats")) >= 3)
    body = server.bodies("POST", "/heartbeats")[0]
    held = [{"lease": "lease-token-1", "attempt": 2}]
    assert body == {"worker_id": None, "trouble": "", "leases": held}
    trial.finish()
    eventually(lambda: not trial._heart.beating)


def test_the_heart_survives_an_outage(server: FakeServer) -> None:
    server.on("POST", ASK, {"leases": [grant()], "heartbeat_s": 0.01})
    server.on("POST", "/heartbeats", httpx.ConnectError("refused"), {"results": [{}]})
    trial = ask(server)
    eventually(lambda: len(server.sent("POST", "/heartbeats")) >= 3)
    assert not trial.should_stop
    trial.finish()


def test_a_lost_lease_stops_the_loop(server: FakeServer) -> None:
    server.on("POST", ASK, {"leases": [grant()], "heartbeat_s": 0.01})
    lost = {"results": [{"problem": refusal(StaleAttempt("the lease expired"))}]}
    server.on("POST", "/heartbeats", lost)
    trial = ask(server)
    eventually(lambda: trial.should_stop)
    with pytest.raises(StaleAttempt, match="expired"):
        trial.report(1, 0.5)
    with pytest.raises(StaleAttempt):
        trial.finish()
    eventually(lambda: not trial._heart.beating)


def test_heartbeats_are_the_work_of_a_daemon(server: FakeServer) -> None:
    ask(server)
    beating = [t for t in threading.enumerate() if t.name == "tuner-heartbeat"]
    assert beating
    assert all(t.daemon for t in beating)


RECORD = "/leases/lease-token-1/environment"


def test_the_environment_is_sent_and_parts_where_they_are_asked_for(server: FakeServer) -> None:
    server.on("PUT", RECORD, {"missing": ["code"]})
    trial = ask(server, record=True)
    trial.finish()
    first, second = server.bodies("PUT", RECORD)
    assert (first["attempt"], first["packages"], first["code"]) == (2, None, None)
    assert second["packages"] is None
    assert second["code"]["kind"] in ("git", "files", "none")


def test_a_server_that_takes_no_record_changes_nothing(server: FakeServer) -> None:
    server.on("PUT", RECORD, problem(404, "not-found", "there is no such route"))
    with ask(server, record=True) as trial:
        trial.report(1, 0.5)
    assert len(server.bodies("PUT", RECORD)) == 1
    assert server.sent("POST", FINISH)
