"""`tuner doctor study` and `trial`, and `tuner watch` at its end: what was found, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from tests.unit.fake_http import listening
from tests.unit.fakes import NOW, FakeServer, over, study_view, trial_view
from tuner.cli.app import app

SLOW = "update ratio 3e-5 for 5 reports: the rate is about 30 times too low"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    server = FakeServer()
    server.on("GET", "/studies/digits", study_view())
    server.on("GET", "/studies/7", over())
    server.on("GET", "/studies/7/trials", {"items": []})
    with listening(server) as url:
        monkeypatch.setenv("TUNER_URL", url)
        monkeypatch.setenv("TUNER_TOKEN", "secret-token")
        monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
        yield server


def run(*args: str) -> Result:
    return CliRunner().invoke(app, args)


def finding(seq: int, number: int, rule: str, reason: str) -> dict[str, Any]:
    return {
        "seq": seq, "kind": "finding", "at": NOW.isoformat(), "study_id": 7, "number": number,
        "step": 5, "data": {"rule": rule, "reason": reason},
    }  # fmt: skip


def in_pages(*pages: list[dict[str, Any]]) -> Any:
    """Answer with these pages, newest first, each asked for from the last event before it."""

    def answer(request: httpx.Request) -> httpx.Response:
        before = request.url.params.get("before")
        ends = [None, *(str(page[-1]["seq"]) for page in pages)]
        at = ends.index(before)
        more = ends[at + 1] if at + 1 < len(pages) else None
        return httpx.Response(200, json={"items": pages[at], "next_cursor": more})

    return answer


def test_a_study_s_findings_are_gathered_rule_by_rule(server: FakeServer) -> None:
    newest = [finding(9, 4, "saddle", "out"), finding(7, 2, "update_ratio_low", SLOW)]
    server.on(
        "GET", "/studies/7/findings", in_pages(newest, [finding(3, 1, "update_ratio_low", "old")])
    )
    result = run("doctor", "study", "digits")
    assert result.exit_code == 0, result.output
    assert result.stdout.split("\n\n")[:2] == [
        f"update_ratio_low: 2 trials (1, 2)\n  trial 2, step 5: {SLOW}",
        "saddle: 1 trial (4)\n  trial 4, step 5: out",
    ]
    listed = json.loads(run("doctor", "study", "digits", "--json").stdout)
    assert [event["seq"] for event in listed] == [3, 7, 9]


def test_nothing_found(server: FakeServer) -> None:
    server.on("GET", "/studies/7/findings", {"items": []})
    assert run("doctor", "study", "digits").stdout == "nothing was found\n"
    assert run("watch", "digits").stdout.count("\n") == 1


def test_a_watch_ends_with_what_was_found(server: FakeServer) -> None:
    found = [finding(7, 2, "update_ratio_low", SLOW), finding(3, 1, "update_ratio_low", SLOW)]
    server.on("GET", "/studies/7/findings", {"items": found})
    last = run("watch", "digits").stdout.splitlines()[-1]
    assert last == (
        "findings in 2 trials: update ratio low (2); `tuner doctor study digits` says what to do"
    )
    assert "findings" not in run("watch", "digits", "--json").stdout
    assert "findings" not in run("--quiet", "watch", "digits").stdout


def reports(ratio: float) -> list[dict[str, Any]]:
    metrics = {"train_loss": 2.0, "update_ratio": ratio, "layer/out/var": 0.25}
    return [
        {
            "attempt": 1, "step": step, "value": 2.0, "status": "ok", "lr_factor": 1.0,
            "metrics": metrics | {"layer/out/dead": 0.125}, "at": NOW.isoformat(),
        }
        for step in range(1, 6)
    ]  # fmt: skip


@pytest.mark.parametrize(("ratio", "said"), [(3e-5, SLOW), (1e-3, "nothing was found")])
def test_a_trial_is_looked_through(server: FakeServer, ratio: float, said: str) -> None:
    view = trial_view(4, 2.0).model_dump(mode="json")
    server.on("GET", "/studies/7/trials/4", {**view, "reports": reports(ratio), "events": []})
    result = run("doctor", "trial", "digits", "4")
    assert result.exit_code == 0, result.output
    seen, _, advice = said.partition(": ")
    assert seen in result.stdout
    assert advice in result.stdout
    assert "looked at 5 reports: training loss, validation loss, update ratio, layers" in (
        result.stdout
    )
    assert "not reported: gradient norm" in result.stdout
    assert result.stdout.splitlines()[-1].split() == ["out", "-", "-", "0.25", "12%"]
