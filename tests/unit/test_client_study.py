"""A study in the hands of who submitted it, its progress in words and its picture in a notebook."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.fakes import (
    NOW,
    FakeServer,
    best_view,
    grant,
    over,
    problem,
    study_view,
    trial_view,
)
from tuner.client import StudyHandle
from tuner.client.html import best_so_far, study_html
from tuner.client.progress import ProgressLine, duration, progress, progress_line
from tuner.trial import StudyState
from tuner.wire import StudyView, TrialView

STUDY = "/studies/7"


def page(*items: TrialView | StudyView, cursor: str | None = None) -> dict[str, object]:
    return {"items": [i.model_dump(mode="json") for i in items], "next_cursor": cursor}


def study_on(server: FakeServer, *views: StudyView) -> StudyHandle:
    server.on("GET", STUDY, *views)
    return server.client().study(7)


def test_waiting_ends_with_the_study() -> None:
    server = FakeServer()
    study = study_on(server, study_view(), study_view(), over())
    server.on("GET", f"{STUDY}/trials", page(trial_view(0, 0.5), cursor="c"), page(trial_view(1)))
    assert study.wait(poll_s=0.0) is study
    assert study.is_over
    assert len(server.sent("GET", STUDY)) == 3


def test_waiting_sits_out_a_restart() -> None:
    server = FakeServer()
    study = study_on(server, study_view())
    server.on("GET", STUDY, httpx.ConnectError("refused"), problem(503, "unavailable", "x"), over())
    server.on("GET", f"{STUDY}/trials", page())
    assert study.wait(poll_s=0.0).state is StudyState.FINISHED


def test_waiting_can_end_early() -> None:
    study = study_on(FakeServer(), study_view())
    with pytest.raises(TimeoutError, match="digits"):
        study.wait(timeout=0.05, poll_s=0.01)


def test_best_is_asked_anew_while_the_study_runs() -> None:
    server = FakeServer()
    study = study_on(server, study_view(), over())
    server.on("GET", f"{STUDY}/best", best_view(metrics={"test_accuracy": 0.97}))
    best = study.best
    assert best is not None
    assert (best.value, best.metrics) == (0.25, {"test_accuracy": 0.97})
    assert [(p.step, p.lr_factor) for p in best.schedule] == [(0, 1.0), (5, 0.5)]


def test_there_may_be_no_best() -> None:
    server = FakeServer()
    study = study_on(server, study_view())
    server.on("GET", f"{STUDY}/best", problem(404, "not-found", "no trial has a value yet"))
    assert study.best is None


@pytest.mark.parametrize(
    ("method", "state"),
    [("pause", "paused"), ("resume", "running"), ("stop", "stopped"), ("cancel", "cancelled")],
)
def test_changes_of_state(method: str, state: str) -> None:
    server = FakeServer()
    study = study_on(server, study_view())
    server.on("PATCH", STUDY, study_view(note="changed"))
    assert getattr(study, method)().view.note == "changed"
    assert server.bodies("PATCH", STUDY)[0]["state"] == state


def test_extend_clone_enqueue() -> None:
    server = FakeServer()
    study = study_on(server, over())
    server.on("POST", f"{STUDY}/extend", study_view())
    server.on("POST", f"{STUDY}/clone", study_view(id=8, name="again"))
    server.on("POST", f"{STUDY}/trials", trial_view(9))
    assert study.extend(trials=5).state is StudyState.RUNNING
    assert study.clone("again", {"budget": {"trials": 3}}).id == 8
    assert study.enqueue({"lr": 0.1}, like=2, from_checkpoint=True).number == 9
    assert server.bodies("POST", f"{STUDY}/extend") == [{"trials": 5, "hours": 0.0}]
    clone = {"name": "again", "changes": {"budget": {"trials": 3}}}
    assert server.bodies("POST", f"{STUDY}/clone") == [clone]
    assert study.enqueue({"lr": 0.1}, from_checkpoint=(2, 7)).number == 9
    other = {"study": "other", "trial": 3, "steps": "anew"}
    assert study.enqueue({"lr": 0.1}, source=other).number == 9
    bodies = [
        {"params": {"lr": 0.1}, "like": 2, "from_checkpoint": True},
        {"params": {"lr": 0.1}, "like": 2, "from_checkpoint": True, "step": 7},
        {"params": {"lr": 0.1}, "from_checkpoint": False, "source": other},
    ]
    sent = server.bodies("POST", f"{STUDY}/trials")
    assert [_without_none(body) for body in sent] == bodies


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    """Return a body without what is null, at any depth."""
    kept = {k: v for k, v in value.items() if v is not None}
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in kept.items()}


def test_export_writes_a_file(tmp_path: Path) -> None:
    server = FakeServer()
    study = study_on(server, over())
    server.on("GET", f"{STUDY}/export", httpx.Response(200, text="name: é\n"))
    assert study.export(tmp_path / "best.yaml") == "name: é\n"
    assert (tmp_path / "best.yaml").read_text(encoding="utf-8") == "name: é\n"
    assert dict(server.requests[-1].url.params) == {"format": "yaml"}


def test_events_go_on_from_the_last_seen() -> None:
    event = {"kind": "halved", "at": NOW.isoformat(), "study_id": 7, "number": 1, "step": 5}
    server = FakeServer()
    study = study_on(server, study_view())
    first = {"items": [event | {"seq": 4}, event | {"seq": 6}], "next_cursor": "x"}
    server.on("GET", f"{STUDY}/events", first, {"items": [event | {"seq": 9}]})
    assert [e.seq for e in study.events(after=3)] == [4, 6, 9]
    queries = [dict(r.url.params) for r in server.sent("GET", f"{STUDY}/events")]
    assert queries == [{"after": "3"}, {"after": "6"}]


def test_a_loop_leases_until_the_study_is_over() -> None:
    server = FakeServer()
    study = study_on(server, study_view(), study_view(), study_view(), study_view(), over())
    none = {"leases": [], "idle": True}
    one = {"leases": [grant(number=1)]}
    server.on("POST", f"{STUDY}/ask", {"leases": [grant(number=0)]}, none, one)
    server.on("POST", "/leases/lease-token-1/finish", {"state": "ended", "outcome": "complete"})
    numbers = []
    for trial in study.loop(wait_s=0.0):
        with trial:
            numbers.append(trial.number)
    assert numbers == [0, 1]


def test_progress() -> None:
    view = study_view(started_at=NOW, best=best_view())
    at = progress(view, NOW + timedelta(seconds=40))
    assert (at.ended, at.running, at.total, at.share) == (4, 2, 10, 0.4)
    assert at.seconds_left == pytest.approx(60)
    line = progress_line(view, NOW + timedelta(seconds=40))
    assert line == (
        "digits: running, 4/10 trials, 2 running, best val_loss 0.25 (trial 3), about 60 s left"
    )


def test_progress_counts_finalists_and_survives_an_odd_clock() -> None:
    spec = {"budget": {"trials": 10}, "repeats": {"finalists": 3, "seeds": 5}}
    at = progress(study_view(spec=spec), NOW - timedelta(days=1))
    assert (at.total, at.seconds_left) == (25, 0.0)


def test_progress_of_a_study_that_waits() -> None:
    view = study_view(
        state=StudyState.QUEUED, started_at=None, counts={}, note="no worker allows x"
    )
    assert progress_line(view, NOW) == "digits: queued, 0/10 trials, no worker allows x"
    paused = study_view(state=StudyState.PAUSED, counts={"failed": 2}, note="paused")
    assert progress_line(paused, NOW) == "digits: paused, 2/10 trials, 2 failed"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99.4, "99 s"), (100, "2 min"), (5_000, "83 min"), (12_000, "3 h 20 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_rewritten_on_a_terminal() -> None:
    stream = Terminal()
    line = ProgressLine(stream)
    line.show(study_view(name="a-long-name"))
    line.show(study_view(name="short"))
    line.close()
    first, second = stream.getvalue().removeprefix("\r").removesuffix("\n").split("\r")
    assert first.startswith("a-long-name:")
    assert len(second) >= len(first.rstrip())


def test_elsewhere_a_line_is_printed_when_something_changed() -> None:
    stream = io.StringIO()
    line = ProgressLine(stream)
    for view in (study_view(), study_view(), over()):
        line.show(view)
    line.close()
    assert len(stream.getvalue().splitlines()) == 2
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(("sign", "best"), [(1.0, [3, 3, 1]), (-1.0, [3, 5, 5])])
def test_best_so_far(sign: float, best: list[float]) -> None:
    trials = [trial_view(0, 3), trial_view(1, 5), trial_view(2), trial_view(3, 1)]
    assert best_so_far(trials, sign) == best


def test_a_notebook_shows_static_escaped_html() -> None:
    evil = "<img src=x onerror=alert(1)>"
    trials = [trial_view(i, 1.0 / (i + 1), params={"lr": 0.1, evil: evil}) for i in range(8)]
    html = study_html(over(name=evil, note=evil), trials)
    tree = ET.fromstring(html.replace("<br>", "<br/>"))
    tags = [e.tag for e in tree.iter()]
    assert "img" not in tags
    assert "script" not in tags
    assert not [k for e in tree.iter() for k in e.attrib if k in ("src", "href", "onerror")]
    assert len(tree.findall(".//tbody/tr")) == 5
    [curve] = tree.findall(".//polyline")
    assert len(curve.attrib["points"].split()) == 8
    assert tree.findall(".//tbody/tr/td")[0].text == "7"


def test_a_notebook_needs_no_request() -> None:
    server = FakeServer()
    study = study_on(server, study_view())
    server.on("GET", f"{STUDY}/trials", page(trial_view(0, 0.5), trial_view(1, 0.25)))
    study.trials()
    before = len(server.requests)
    assert "polyline" in study._repr_html_()
    assert len(server.requests) == before
