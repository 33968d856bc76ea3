"""`tuner db backup`, `restore`, `check` and `prune` as an operator runs them, beside a server."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, text

from storage.engine import database_url
from tests.serving import ServerProcess, completed

SHORT = ("--lease", "8", "--heartbeat", "0.5", "--sweep", "0.2")


@pytest.fixture
def server(url: str, tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path, "--db", url, "--artifacts", str(tmp_path / "files"), *SHORT) as s:
        yield s


def db(server: ServerProcess, *args: str, url: str, code: int = 0) -> str:
    """Run `tuner db ARGS --db URL`; return what it wrote for people."""
    ran = completed(server.command("db", *args, "--db", url), server.folder, server.env)
    assert ran.returncode == code, (args, ran.returncode, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stderr
    password = database_url(url).password
    assert password is None or str(password) not in ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def submit(server: ServerProcess, name: str, trials: int = 500) -> None:
    document = {
        "name": name,
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 0.1, "max": 1.0}},
        "sampler": {"name": "random", "seed": 0},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": trials, "steps": 9, "parallel": 50},
        "run": "external",
    }
    server.call("POST", "/studies", document)


def ask(server: ServerProcess, study: str) -> dict[str, Any]:
    (lease,) = server.call("POST", f"/studies/{study}/ask", {"wait_s": 30})["leases"]
    return dict(lease)


def report(server: ServerProcess, lease: dict[str, Any], step: int) -> dict[str, Any]:
    item = {"lease": lease["lease"], "attempt": lease["attempt"], "step": step, "value": 1 / step}
    (found,) = server.call("POST", "/reports", {"reports": [{**item, "lr_factor": 1.0}]})["results"]
    return dict(found)


def train(server: ServerProcess, study: str) -> None:
    finish(server, ask(server, study))


def finish(server: ServerProcess, lease: dict[str, Any]) -> None:
    report(server, lease, 1)
    server.call("POST", f"/leases/{lease['lease']}/finish", {"attempt": lease["attempt"]})


def trials(server: ServerProcess, study: str) -> list[dict[str, Any]]:
    return list(server.call("GET", f"/studies/{study}/trials?limit=200")["items"])


def test_a_server_goes_back_to_its_backup(server: ServerProcess, url: str) -> None:
    submit(server, "s")
    train(server, "s")
    old = ask(server, "s")
    report(server, old, 1)
    stop = threading.Event()
    told: list[int] = []

    def load() -> None:
        while not stop.is_set():
            train(server, "s")
            told.append(1)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        while len(told) < 3:
            time.sleep(0.01)
        before = len(told)
        said = db(server, "backup", "b", url=url)
        after = len(told)
        assert "sound" in db(server, "check", url=url)
    finally:
        stop.set()
        thread.join()
    assert "b: " in said
    new = ask(server, "s")
    submit(server, "later")
    last_seen = server.call("GET", "/studies/s/events?limit=1000")["items"][-1]["seq"]

    said = db(server, "restore", "b", "--force", url=url, code=1)
    assert "owns this database already" in said
    assert "hint: stop it, restore, and start it again" in said
    server.stop()
    assert "--force" in db(server, "restore", "b", url=url, code=1)
    said = db(server, "restore", "b", "--force", url=url)
    assert "restored 1 study" in said
    assert "remove tuner-store.txt there" in said
    assert "sound" in db(server, "check", url=url)
    server.start()

    assert before <= len([t for t in trials(server, "s") if t["outcome"]]) - 1 <= after + 1
    for lease in (old, new):
        assert report(server, lease, 2)["problem"]["type"] == "/problems/stale-attempt"
        late = httpx.post(
            f"{server.url}/api/v1/leases/{lease['lease']}/finish",
            json={"attempt": lease["attempt"], "outcome": "complete", "value": 0.0},
            headers={"Authorization": f"Bearer {server.token}"},
            trust_env=False,
        )
        assert late.status_code == 409
    events = server.call("GET", f"/studies/s/events?after={last_seen}")["items"]
    assert events[0]["kind"] == "restored"
    again = ask(server, "s")
    while again["number"] != old["number"]:
        finish(server, again)
        time.sleep(0.1)
        again = ask(server, "s")
    assert again["attempt"] == old["attempt"] + 1
    finish(server, again)
    assert "sound" in db(server, "check", url=url)


def test_check_names_what_is_wrong(server: ServerProcess, url: str) -> None:
    submit(server, "s")
    train(server, "s")
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        connection.execute(text("UPDATE trial_values SET value = 7"))
    engine.dispose()
    said = db(server, "check", url=url, code=6)
    assert "optuna-value: study 's' trial 0 has the value 1.0, and 7.0 to Optuna" in said
    assert "1 finding" in said
    ran = completed(server.command("db", "check", "--json", "--db", url), server.folder, server.env)
    found = json.loads(ran.stdout)
    assert (found["sound"], ran.returncode) == (False, 6)
    assert found["findings"][0]["rule"] == "optuna-value"
    assert found["findings"][0]["trial"] == 0


def test_check_says_which_database_is_none(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        said = db(server, "check", url=f"sqlite:///{tmp_path}/absent.db", code=3)
    assert said.startswith("error: there is no database")
    assert not (tmp_path / "absent.db").exists()


def cancel(server: ServerProcess, name: str, days: int, url: str) -> None:
    """End a study, and lay its end back."""
    server.call("PATCH", f"/studies/{name}", {"state": "cancelled"})
    server.stop()
    at = (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None)
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE tuner_studies SET ended_at = :at WHERE study_id ="
                " (SELECT study_id FROM studies WHERE study_name = :name)"
            ),
            {"at": str(at), "name": name},
        )
    engine.dispose()
    server.start()


def names(server: ServerProcess) -> set[str]:
    return {s["name"] for s in server.call("GET", "/studies")["items"]}


def test_prune_deletes_what_is_old_while_the_server_runs(server: ServerProcess, url: str) -> None:
    for name in ("old", "young", "open"):
        submit(server, name)
        train(server, name)
    cancel(server, "old", 91, url)
    cancel(server, "young", 89, url)

    ran = server.run("db", "prune", "--older-than", "90d", "--dry-run")
    assert "old" in ran.stdout
    assert "young" not in ran.stdout
    ran = server.run("db", "prune", "--older-than", "90d", code=2)
    assert "confirm with --yes" in ran.stderr
    ran = server.run("db", "prune", "--older-than", "90d", "--study", "young", "--yes")
    assert "no study ended longer ago than 90d" in ran.stderr
    assert names(server) == {"old", "young", "open"}
    ran = server.run("db", "prune", "--older-than", "90d", "--json", "--yes")
    assert [s["name"] for s in json.loads(ran.stdout)] == ["old"]
    assert "deleted 1 study" in ran.stderr
    assert names(server) == {"young", "open"}
    train(server, "open")
    assert "sound" in db(server, "check", url=url)


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", {"s"}), (b"y\n", set())])
def test_prune_asks_on_a_terminal(tmp_path: Path, answer: bytes, left: set[str]) -> None:
    with ServerProcess(tmp_path) as server:
        submit(server, "s")
        train(server, "s")
        cancel(server, "s", 100, f"sqlite:///{tmp_path}/tuner.db")
        parent, child = pty.openpty()
        command = server.command("db", "prune", "--older-than", "12w")
        process = subprocess.Popen(
            command, stdin=child, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=server.env
        )
        os.close(child)
        os.write(parent, answer)
        _, stderr = process.communicate(timeout=120)
        os.close(parent)
        assert b"Delete 1 study with 1 trial for good?" in stderr
        assert names(server) == left
        assert process.returncode == (1 if left else 0)
