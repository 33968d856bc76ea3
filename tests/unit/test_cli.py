"""The commands: what each prints where, and its exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from tests.unit.fake_http import listening
from tests.unit.fakes import NOW, FakeServer, best_view, over, problem, study_view, trial_view
from tuner.cli.app import app

STUDY = "/studies/digits"
BY_ID = "/studies/7"
DOCUMENT = "run: external\nobjective: {metric: x}\n"


@pytest.fixture
def server() -> FakeServer:
    server = FakeServer()
    server.on("GET", STUDY, study_view(best=best_view()))
    server.on("GET", BY_ID, over())
    server.on("PATCH", BY_ID, study_view(state="paused"))
    return server


@pytest.fixture
def url(server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    with listening(server) as url:
        monkeypatch.setenv("TUNER_URL", url)
        monkeypatch.setenv("TUNER_TOKEN", "secret-token")
        monkeypatch.setenv("TUNER_HOME", str(tmp_path / "home"))
        yield url


@pytest.fixture
def document(tmp_path: Path) -> str:
    path = tmp_path / "study.yaml"
    path.write_text(DOCUMENT)
    return str(path)


def run(*args: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, args, input=text)


def test_submit_prints_the_id_alone(url: str, server: FakeServer, document: str) -> None:
    server.on("POST", "/studies", study_view(warnings=["careful"]))
    result = run("submit", document)
    assert (result.exit_code, result.stdout) == (0, "7\n")
    assert result.stderr == "warning: careful\n"
    assert server.bodies("POST", "/studies") == [{"run": "external", "objective": {"metric": "x"}}]
    [request] = server.sent("POST", "/studies")
    assert request.headers["Authorization"] == "Bearer secret-token"


def test_quiet_says_nothing_but_data(url: str, server: FakeServer, document: str) -> None:
    server.on("POST", "/studies", study_view(warnings=["careful"]))
    result = run("--quiet", "submit", document)
    assert (result.stdout, result.stderr) == ("7\n", "")


def test_submit_as_json(url: str, server: FakeServer, document: str) -> None:
    server.on("POST", "/studies", study_view())
    assert json.loads(run("submit", document, "--json").stdout)["name"] == "digits"


def test_a_dry_run_prints_the_document(url: str, server: FakeServer, document: str) -> None:
    server.on("POST", "/studies", {"spec": {"name": "x", "lr": 1e-05}, "warnings": []})
    result = run("submit", document, "--dry-run")
    assert YAML(typ="safe").load(result.stdout) == {"name": "x", "lr": 1e-05}


def test_submit_can_wait(url: str, server: FakeServer, document: str) -> None:
    server.on("POST", "/studies", study_view())
    server.on("GET", f"{BY_ID}/trials", {"items": []})
    result = run("submit", document, "--wait")
    assert (result.exit_code, result.stdout) == (0, "7\n")
    assert "digits: finished" in result.stderr


def test_faults_are_listed_one_a_line(url: str, server: FakeServer, document: str) -> None:
    faults = [
        {"where": "budget.trails", "message": "unknown key; did you mean 'trials'?"},
        {"where": "run", "message": "is missing"},
        {"where": "", "message": "policy 'x' is listed more than once"},
    ]
    server.on("POST", "/studies", problem(422, "invalid-input", "two faults", faults=faults))
    result = run("submit", document)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "error: budget.trails: unknown key; did you mean 'trials'?",
        "error: run: is missing",
        "error: policy 'x' is listed more than once",
    ]


@pytest.mark.parametrize(
    "content",
    [b"a: [", b"a: 1\na: 2\n", b"\xff\xfe\x00", b"", b"- a\n"],
    ids=["syntax", "twice", "binary", "empty", "list"],
)
def test_a_file_that_is_no_document(url: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    result = run("submit", str(path))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(404, "not-found", "no such study"), 3),
        (problem(401, "not-authenticated", "no token"), 4),
        (problem(403, "not-allowed", "not yours"), 4),
        (problem(503, "unavailable", "away", headers={"Retry-After": "60"}), 5),
        (httpx.ConnectError("refused"), 5),
        (problem(409, "study-state", "it is over"), 1),
        (problem(500, "error", "broken"), 1),
    ],
    ids=["404", "401", "403", "503", "away", "409", "500"],
)
def test_exit_codes(url: str, server: FakeServer, answer: object, code: int) -> None:
    server.on("GET", STUDY, answer)
    result = run("show", "digits")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "args",
    [
        ["lss"],
        ["show"],
        ["submit", "no-such-file.yaml"],
        ["export", "digits", "--format", "xml"],
        ["extend", "digits"],
        ["enqueue", "digits"],
        ["enqueue", "digits", "lr"],
        ["enqueue", "digits", "lr=1", "--from-checkpoint"],
        ["worker", "--labels", "gpu"],
        ["worker", "--slots", "0"],
        ["serve", "--lease", "5", "--heartbeat", "5"],
        ["cancel", "digits"],
    ],
    ids=" ".join,
)
def test_usage(url: str, args: list[str]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_ls(url: str, server: FakeServer) -> None:
    items = [study_view().model_dump(mode="json"), over(id=8, name="two").model_dump(mode="json")]
    server.on("GET", "/studies", {"items": items})
    head, first, second = run("ls").stdout.splitlines()
    assert head.split() == ["ID", "NAME", "STATE", "TRIALS", "BEST", "CREATED"]
    assert first.split()[:5] == ["7", "digits", "running", "4/10", "-"]
    assert second.split()[:5] == ["8", "two", "finished", "4/10", "0.25"]
    failures = over(ended_why="failures").model_dump(mode="json")
    server.on("GET", "/studies", {"items": [failures]})
    assert "finished (failures)" in run("ls").stdout
    server.on("GET", "/studies", {"items": items})
    assert [s["id"] for s in json.loads(run("ls", "--json").stdout)] == [7, 8]


def test_what_others_wrote_can_not_steer_the_terminal(url: str, server: FakeServer) -> None:
    view = study_view(name="\x1b[2Jred\n")
    server.on("GET", "/studies", {"items": [view.model_dump(mode="json")]})
    assert "\x1b" not in run("ls").stdout


def test_show(url: str) -> None:
    result = run("show", "digits")
    assert "best val_loss 0.25 (trial 3)" in result.stdout
    assert "lr=0.1 batch_size=32" in result.stdout
    assert json.loads(run("show", "digits", "--json").stdout)["id"] == 7


def test_show_says_what_a_recipe_fixes(url: str, server: FakeServer) -> None:
    run_of = {"task": "digits-mlp", "recipe": {"preset": "default", "width": 32}}
    server.on("GET", STUDY, study_view(spec={"objective": {"metric": "val_loss"}, "run": run_of}))
    shown = " ".join(run("show", "digits").stdout.split())
    assert "task digits-mlp recipe preset=default width=32 created" in shown


def test_show_says_why_a_trial_failed(url: str, server: FakeServer) -> None:
    server.on("GET", STUDY, study_view(counts={"complete": 1, "failed": 2}))
    failed = [
        trial_view(n, 0.5, outcome="failed", reason=f"E: {n}", ended_at=NOW - timedelta(hours=n))
        for n in (1, 2)
    ]
    items = [t.model_dump(mode="json") for t in [trial_view(0, 0.5), *failed]]
    server.on("GET", f"{BY_ID}/trials", {"items": items})
    shown = run("show", "digits").stdout
    assert "trial 1: E: 1" in shown
    assert "3/10 trials, 2 failed" in shown


def test_best_prints_the_parameters_as_yaml(url: str, server: FakeServer) -> None:
    server.on("GET", f"{BY_ID}/best", best_view())
    result = run("best", "digits")
    assert YAML(typ="safe").load(result.stdout) == {"lr": 0.1, "batch_size": 32}
    assert result.stderr == "trial 3: val_loss 0.25 at step 9\n"
    best = json.loads(run("best", "digits", "--json").stdout)
    assert best["schedule"][1] == {"step": 5, "lr_factor": 0.5}


def test_there_may_be_no_best(url: str) -> None:
    result = run("best", "digits")
    assert (result.exit_code, result.stdout) == (3, "")


def test_trials(url: str, server: FakeServer) -> None:
    items = [trial_view(0, 0.5).model_dump(mode="json"), trial_view(1).model_dump(mode="json")]
    server.on("GET", f"{BY_ID}/trials", {"items": items})
    _, first, second = run("trials", "digits").stdout.splitlines()
    assert first.split() == ["0", "ended", "complete", "sampled", "9", "0.5", "1", "lr=0.1"]
    assert second.split() == ["1", "running", "-", "sampled", "9", "-", "1", "lr=0.1"]


def test_export(url: str, server: FakeServer, tmp_path: Path) -> None:
    server.on("GET", f"{BY_ID}/export", httpx.Response(200, text="name: é\n"))
    assert run("export", "digits").stdout == "name: é\n"
    result = run("export", "digits", "-o", str(tmp_path / "best.yaml"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "best.yaml").read_text(encoding="utf-8") == "name: é\n"
    assert run("export", "digits", "-o", str(tmp_path / "no" / "best.yaml")).exit_code == 1


@pytest.mark.parametrize("command", ["pause", "resume", "stop"])
def test_states(url: str, server: FakeServer, command: str) -> None:
    result = run(command, "digits")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "digits: paused\n")
    assert len(server.sent("PATCH", BY_ID)) == 1


def test_cancel_wants_a_yes_where_nobody_can_be_asked(url: str, server: FakeServer) -> None:
    result = run("cancel", "digits", text="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert server.sent("PATCH", BY_ID) == []
    assert run("cancel", "digits", "--yes").exit_code == 0
    assert server.bodies("PATCH", BY_ID)[0]["state"] == "cancelled"


def test_clone_and_enqueue_print_what_was_made(url: str, server: FakeServer) -> None:
    server.on("POST", f"{BY_ID}/clone", study_view(id=8))
    server.on("POST", f"{BY_ID}/trials", trial_view(9))
    cloned = run(
        "clone", "digits", "--name", "two", "--set", "budget.trials=3", "--set", "run=external"
    )
    assert cloned.stdout == "8\n"
    sent = {"name": "two", "changes": {"budget": {"trials": 3}, "run": "external"}}
    assert server.bodies("POST", f"{BY_ID}/clone") == [sent]
    assert run("enqueue", "digits", "lr=1e-4", "optimizer=sgd").stdout == "9\n"
    [body] = server.bodies("POST", f"{BY_ID}/trials")
    assert body["params"] == {"lr": 1e-4, "optimizer": "sgd"}


def test_workers(url: str, server: FakeServer) -> None:
    worker = {
        "worker_id": "w1", "name": "node", "host": "h", "slots": 2, "gpus": [], "alive": True,
        "labels": {"gpu": "a100"}, "allow": [], "seen_at": NOW.isoformat(), "running": ["7/1"],
    }  # fmt: skip
    server.on("GET", "/workers", {"items": [worker]})
    _, line = run("workers").stdout.splitlines()
    assert line.split()[:8] == ["w1", "node", "h", "2", "-", "gpu=a100", "yes", "1"]


def test_watch_as_plain_text(url: str, server: FakeServer) -> None:
    server.on("GET", BY_ID, study_view(), study_view(), over())
    server.on("GET", f"{BY_ID}/trials", {"items": []})
    server.on("GET", f"{BY_ID}/findings", {"items": []})
    result = run("watch", "digits", "--every", "0.05")
    assert result.exit_code == 0
    assert [line.partition(",")[0] for line in result.stdout.splitlines()] == [
        "digits: running",
        "digits: finished",
    ]


def test_watch_as_json_lines(url: str, server: FakeServer) -> None:
    server.on("GET", BY_ID, study_view(), study_view(), over())
    result = run("watch", "digits", "--json", "--every", "0.05")
    first, last = map(json.loads, result.stdout.splitlines())
    assert (first["state"], first["ended"], first["best"]) == ("running", 4, None)
    assert (last["state"], last["best"]["value"]) == ("finished", 0.25)


@pytest.mark.parametrize(
    "changes",
    [{"state": "cancelled"}, {"ended_why": "failures"}, {"best": None}],
    ids=["cancelled", "failures", "no value"],
)
def test_a_study_without_success_is_6(
    url: str, server: FakeServer, changes: dict[str, object]
) -> None:
    server.on("GET", BY_ID, over(**changes))
    result = run("watch", "digits", "--json")
    assert result.exit_code == 6
    assert result.stderr.startswith("digits: the study ")
