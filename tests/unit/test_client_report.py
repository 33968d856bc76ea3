"""What a report reads from the server, and what people ask for after a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tests.unit.fakes import NOW, FakeServer, best_view, over, problem, trial_view
from tuner.cli.app import app
from tuner.cli.output import fresh_seeds
from tuner.wire import FinalistView

RUNNER = CliRunner()


def event(seq: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "at": NOW.isoformat(), "study_id": 7, "data": data}


def dumped(view: Any) -> Any:
    return json.loads(view.model_dump_json())


@pytest.fixture
def server() -> FakeServer:
    found = FakeServer()
    trials = [
        dumped(trial_view(n, 0.9 / (n + 1), state="ended", outcome="complete")) for n in range(4)
    ]
    found.on("GET", "/studies/7", dumped(over()))
    found.on("GET", "/studies/7/trials", {"items": trials})
    for number in range(4):
        report = {"attempt": 1, "step": 1, "value": 0.5, "status": "ok", "lr_factor": 1.0,
                  "metrics": {"gain": 0.02}, "at": NOW.isoformat()}  # fmt: skip
        detail = {**trials[number], "reports": [report], "events": []}
        found.on("GET", f"/studies/7/trials/{number}", detail)
        found.on("GET", f"/studies/8/trials/{number}", detail)
    events = [
        event(1, "halved", rule="halve_on_plateau"),
        event(2, "ended", rule="asha", outcome="pruned"),
        event(3, "rung", rule="asha", promoted=True),
        event(4, "checkpoint"),
    ]
    found.on("GET", "/studies/7/events", {"items": events})
    found.on("GET", "/studies/7/trials/3/environments", {"items": []})
    found.on("GET", "/studies", {"items": []})
    found.on("GET", "/studies/7/export", httpx.Response(200, text="run: external\n"))
    shares = [{"name": "lr", "share": 1.0}]
    found.on("GET", "/studies/7/importance", {"state": "ready", "items": shares})
    return found


def reported(server: FakeServer, folder: Path) -> str:
    with server.client() as client:
        path = client.study(7).report(folder / "r.html")
    return path.read_text(encoding="utf-8")


def test_a_report_is_written_from_what_the_server_says(server: FakeServer, tmp_path: Path) -> None:
    html = reported(server, tmp_path)
    assert "<td>halve_on_plateau</td><td>halved</td><td>1</td>" in html
    assert "<td>asha</td><td>pruned</td><td>1</td>" in html
    assert "<td>asha</td><td>spared</td><td>1</td>" in html
    assert '<th scope="row">lr</th>' in html
    assert "digits: report" in html


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (problem(404, "not-found", "no such route"), "This server does not compute it."),
        ({"state": "computing", "items": []}, "still computes this"),
        ({"state": "unavailable", "why": "Too few trials.", "items": []}, "Too few trials."),
    ],
)
def test_importance_is_left_out_with_a_word(
    server: FakeServer, tmp_path: Path, answer: object, says: str
) -> None:
    server.on("GET", "/studies/7/importance", answer)
    assert says in reported(server, tmp_path)


def test_only_studies_that_follow_are_told_of(server: FakeServer, tmp_path: Path) -> None:
    run = {"task": "digits-mlp", "after": {"of": 7, "kind": "ensemble"}}
    follower = dumped(over(id=8, name="digits-ensemble", spec={"run": run}))
    other = dumped(over(id=9, name="digits-large", spec={"run": {"task": "digits-mlp"}}))
    server.on("GET", "/studies", {"items": [other, follower]})
    html = reported(server, tmp_path)
    assert "digits-ensemble" in html
    assert "a gain of +0.02" in html
    assert "digits-large" not in html


def test_finishing_sends_what_is_asked_for(server: FakeServer) -> None:
    server.on("POST", "/studies/7/extend", dumped(over()))
    with server.client() as client:
        client.study(7).finish({"finalists": 2}, {"ensemble": {"seeds": 4}})
    (body,) = server.bodies("POST", "/studies/7/extend")
    assert body["repeats"]["finalists"] == 2
    assert body["after"]["ensemble"]["seeds"] == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["report"], "--step"),
        (["report", "--step", "1"], "--value"),
        (["report", "digits", "--step", "1"], "goes with --output alone"),
        (["finish", "digits", "--ensemble", "3", "--ensemble-seeds", "3"], "--ensemble"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], says: str) -> None:
    ran = RUNNER.invoke(app, words)
    assert ran.exit_code == 2
    assert says in ran.output


def test_fresh_seeds_in_words() -> None:
    more = {"mean": 0.3, "std": 0.1, "low": 0.2, "high": 0.4, "luck": 0.05}
    text = "over 3 fresh seeds 0.3 (95 %: 0.2 to 0.4); its first value was 0.05 better than that"
    assert fresh_seeds(best_view(seeds=3, **more)) == text
    one = FinalistView(number=1, first=0.3, n=1, mean=0.4, std=0.0, luck=-0.1)
    assert fresh_seeds(one) == "over 1 fresh seed 0.4; its first value was 0.1 worse than that"
