"""Lists with filters and orders, and changes of live studies: the client, the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import ServerProcess
from tuner.client import Client, StudyHandle
from tuner.errors import InvalidInput, PreconditionFailed

SPACE: dict[str, Any] = {
    "lr": {"min": 0.001, "max": 1.0, "log": True},
    "width": {"values": [8, 16, 32]},
}
VALUES = (0.5, 0.25, 1.0)


def document(name: str, project: str = "default", priority: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "objective": {"metric": "loss"},
        "space": SPACE,
        "sampler": {"name": "random", "seed": 1},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 10},
        "run": "external",
        "queue": {"project": project, "priority": priority},
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve three studies, two of them of a project; one has trials that ended."""
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        for body in (
            document("alpha", priority=3),
            document("beta", "vision", 1),
            document("bravo", "vision", 2),
        ):
            server.call("POST", "/studies", body)
        for value in VALUES:
            (lease,) = server.call("POST", "/studies/beta/ask", {})["leases"]
            done = {"attempt": 1, "outcome": "complete", "value": value}
            server.call("POST", f"/leases/{lease['lease']}/finish", done)
        (lease,) = server.call("POST", "/studies/beta/ask", {})["leases"]
        failed = {"attempt": 1, "outcome": "failed", "retry": False, "error": "ValueError: x"}
        server.call("POST", f"/leases/{lease['lease']}/finish", failed)
        server.call("PATCH", "/studies/alpha", {"state": "paused"})
        yield server


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with Client(server.url, server.token) as client:
        yield client


STUDY_LISTS = [
    ({}, ["bravo", "beta", "alpha"]),
    ({"sort": "created"}, ["alpha", "beta", "bravo"]),
    ({"sort": "-priority"}, ["alpha", "bravo", "beta"]),
    ({"sort": "name"}, ["alpha", "beta", "bravo"]),
    # Those without a best value come last.
    ({"sort": "best"}, ["beta", "alpha", "bravo"]),
    ({"state": "paused"}, ["alpha"]),
    ({"project": "vision", "sort": "name"}, ["beta", "bravo"]),
    ({"project": "none"}, []),
    ({"name": "b", "sort": "-name"}, ["bravo", "beta"]),
    ({"owner": "admin", "state": "queued", "project": "vision"}, ["bravo"]),
    ({"owner": "somebody"}, []),
]


@pytest.mark.parametrize(("query", "names"), STUDY_LISTS)
def test_studies_are_chosen_and_sorted(
    server: ServerProcess, client: Client, query: dict[str, str], names: list[str]
) -> None:
    found = [s.name for s in client.studies(**query)]
    assert [n for n in found if n in ("alpha", "beta", "bravo")] == names


def test_the_command_line_chooses_and_sorts_studies(server: ServerProcess) -> None:
    for query, names in STUDY_LISTS[8:10]:
        options = [word for key, value in query.items() for word in (f"--{key}", value)]
        listed = json.loads(server.run("ls", "--json", *options).stdout)
        found = [s["name"] for s in listed]
        assert [n for n in found if n in ("alpha", "beta", "bravo")] == names
    rows = server.run("ls", "--project", "vision", "--sort", "name").stdout.splitlines()
    assert [row.split()[1] for row in rows] == ["NAME", "beta", "bravo"]


TRIAL_LISTS: list[tuple[dict[str, str | float], list[int]]] = [
    ({"state": "ended"}, [0, 1, 2, 3]),
    ({"outcome": "complete"}, [0, 1, 2]),
    ({"outcome": "failed"}, [3]),
    ({"outcome": "complete", "sort": "value"}, [1, 0, 2]),
    ({"outcome": "complete", "sort": "-value"}, [2, 0, 1]),
    # Bounds are on this side, themselves included, and leave out what has no value.
    ({"min_value": 0.5}, [0, 2]),
    ({"min_value": 0.25, "max_value": 0.5, "sort": "-number"}, [1, 0]),
    ({"origin": "enqueued"}, []),
]


@pytest.mark.parametrize(("query", "numbers"), TRIAL_LISTS)
def test_trials_are_chosen_and_sorted(
    client: Client, query: dict[str, str | float], numbers: list[int]
) -> None:
    assert [t.number for t in client.study("beta").trials(**query)] == numbers


def test_the_command_line_chooses_and_sorts_trials(server: ServerProcess) -> None:
    for query, numbers in TRIAL_LISTS[3:7:3]:
        options = [f"--{key.replace('_', '-')}={value}" for key, value in query.items()]
        listed = json.loads(server.run("trials", "beta", "--json", *options).stdout)
        assert [t["number"] for t in listed] == numbers


def test_a_list_there_is_none_of_is_refused(server: ServerProcess, client: Client) -> None:
    for wrong in ({"state": "asleep"}, {"sort": "colour"}, {"colour": "red"}):
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            list(client.studies(**wrong))
        with pytest.raises(InvalidInput, match=next(iter(wrong))):
            client.study("beta").trials(**wrong)
    assert "query.sort" in server.run("ls", "--sort", "colour", code=1).stderr
    assert "query.outcome" in server.run("trials", "beta", "--outcome", "x", code=1).stderr


@pytest.fixture
def live(client: Client, request: pytest.FixtureRequest) -> StudyHandle:
    """Submit a study of the test's own."""
    return client.submit(document(request.node.name.replace("[", "-").rstrip("]")))


def test_a_change_by_the_client(client: Client, live: StudyHandle) -> None:
    before = live.version
    live.change(priority=7, parallel=3, space={"width": {"values": [16, 32]}})
    assert live.version != before
    spec = client.study(live.id).view.spec
    assert (spec["queue"]["priority"], spec["budget"]["parallel"]) == (7, 3)
    assert spec["space"]["width"]["values"] == [16, 32]
    assert [v.version for v in live.specs()] == [1, 2]
    assert live.specs()[0].spec["space"]["width"]["values"] == [8, 16, 32]
    with pytest.raises(PreconditionFailed):
        live.change(priority=8, if_match=before)
    assert live.change(priority=8, if_match=live.version).view.spec["queue"]["priority"] == 8


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"priority": 5000}, "priority"),
        ({"parallel": 0}, "parallel"),
        ({"space": {}}, "space"),
        ({"space": {"depth": {"min": 1, "max": 3}}}, "space.depth"),
        ({"space": {"lr": {"min": 0.01, "max": 0.1}}}, "space.lr"),
    ],
)
def test_what_a_change_gets_wrong_is_said(
    live: StudyHandle, change: dict[str, Any], where: str
) -> None:
    """Whether the client or the server finds it."""
    with pytest.raises(InvalidInput) as wrong:
        live.change(**change)
    assert [fault.where for fault in wrong.value.faults] == [where]


def test_so_it_is_of_other_requests(live: StudyHandle) -> None:
    for call in (
        lambda: live.extend(trials=-1),
        lambda: live.enqueue(like=-1),
        lambda: live.clone(name=""),
    ):
        with pytest.raises(InvalidInput):
            call()


def test_a_change_by_the_command_line(
    server: ServerProcess, live: StudyHandle, tmp_path: Path
) -> None:
    def run(*args: str, code: int = 0) -> str:
        ran = server.run("change", live.name, *args, code=code)
        return ran.stdout if code == 0 else ran.stderr

    narrower = tmp_path / "space.yaml"
    narrower.write_text("width: {values: [16, 32]}\n")
    shown = json.loads(run("--priority", "-4", "--parallel", "2", "--json"))
    spec = shown["spec"]
    assert (spec["queue"]["priority"], spec["budget"]["parallel"]) == (-4, 2)
    version = shown["version"]
    said = server.run("change", live.name, "--space", str(narrower), "--if-match", version).stderr
    assert said == f"{live.name}: changed, now version {live.refresh().version}\n"
    assert live.view.spec["space"]["width"]["values"] == [16, 32]
    assert live.view.spec["space"]["lr"]["max"] == 1.0
    assert "was changed" in run("--priority", "1", "--if-match", version, code=1)
    # A whole document gives its section `space`.
    whole = tmp_path / "study.json"
    wider = {**document("x"), "space": {"width": {"values": [8, 16, 32, 64]}}}
    whole.write_text(json.dumps(wider))
    run("--space", str(whole))
    assert live.refresh().view.spec["space"]["width"]["values"] == [8, 16, 32, 64]


def test_the_command_line_says_what_is_wrong(
    server: ServerProcess, live: StudyHandle, tmp_path: Path
) -> None:
    def said(*args: str, code: int) -> str:
        err = server.run("change", live.name, *args, code=code).stderr
        assert "Traceback" not in err
        return err

    assert "give --space, --priority or --parallel" in said(code=2)
    assert "priority" in said("--priority", "5000", code=1)
    file = tmp_path / "space.yaml"
    for text, why in (
        ("- lr\n", "holds no mapping of parameters"),
        ("depth: {min: 1, max: 3}\n", "space.depth: can't be added to a live study"),
    ):
        file.write_text(text)
        assert why in said("--space", str(file), code=1)
    live.cancel()
    assert "is cancelled" in said("--priority", "1", code=1)
