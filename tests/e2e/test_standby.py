"""Two servers on one database: one owns it, the other waits and takes over."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.balancer import Balancer, is_ready
from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import TOKEN, ServerProcess

STUDY = {"name": "before", "objective": {"metric": "loss"}, "run": "external"}
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
TIMES = ("--lease", "10", "--heartbeat", "0.4", "--sweep", "0.2")


class Pair:
    """Servers on one database, each with a folder of its own, and one for artifacts."""

    def __init__(self, folder: Path, db: str) -> None:
        self.folder, self.db = folder, db

    @contextmanager
    def server(self, name: str) -> Iterator[ServerProcess]:
        """Yield a server that stands by if another one owns the database."""
        own = self.folder / name
        own.mkdir()
        artifacts = ("--artifacts", str(self.folder / "artifacts"))
        options = ("--db", self.db, "--standby", *artifacts, *TIMES)
        with ServerProcess(own, *options) as server:
            yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """Give servers on an empty database of each kind."""
    if request.param == "sqlite":
        return Pair(tmp_path, f"sqlite:///{tmp_path}/tuner.db")
    return Pair(tmp_path, request.getfixturevalue("postgres_url"))


def owner(server: ServerProcess) -> ServerProcess:
    wait_until(lambda: is_ready(server.url), "the server owns the database")
    return server


def asked(server: ServerProcess, path: str) -> httpx.Response:
    return httpx.get(server.url + path, headers=HEADERS, timeout=30.0, trust_env=False)


def names(server: ServerProcess) -> list[str]:
    return sorted(study["name"] for study in server.call("GET", "/studies")["items"])


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_a_standby_says_so_and_takes_over(pair: Pair, sig: signal.Signals) -> None:
    with pair.server("first") as first, pair.server("second") as second:
        owner(first).call("POST", "/studies", STUDY)
        wait_until(lambda: "standby, owner is process" in second.log, "it stands by")
        assert asked(second, "/healthz").json() == {"status": "ok"}
        for path in ("/readyz", "/api/v1/studies", "/nowhere"):
            answer = asked(second, path)
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["type"] == "/problems/unavailable"
            assert re.fullmatch(r"standby, owner is process \d+ on .*", answer.json()["detail"])
        assert httpx.get(f"{second.url}/api/v1/studies", trust_env=False).status_code == 401
        first.stop(sig)
        assert names(owner(second)) == ["before"]
        assert "owns the database now" in second.log
        assert second.stop() == 0


def test_a_standby_that_is_stopped_ends(pair: Pair) -> None:
    with pair.server("first") as first, pair.server("second") as second:
        owner(first)
        wait_until(lambda: "standby" in second.log, "it stands by")
        assert second.stop() == 0
        first.call("POST", "/studies", STUDY)


def test_of_two_standbys_one_takes_over(postgres_url: str, tmp_path: Path) -> None:
    pair = Pair(tmp_path, postgres_url)
    with ExitStack() as stack:
        first, *others = (stack.enter_context(pair.server(name)) for name in "abc")
        owner(first)
        first.kill()
        wait_until(lambda: any(is_ready(s.url) for s in others), "one of them takes over")
        (new,) = (s for s in others if is_ready(s.url))
        (waiting,) = (s for s in others if s is not new)
        new.call("POST", "/studies", STUDY)
        wait_until(lambda: len(set(re.findall("owner is .*", waiting.log))) == 2, "it hears of it")
        assert asked(waiting, "/readyz").status_code == 503
        new.kill()
        assert names(owner(waiting)) == ["before"]


STEPS = """
import os, time
def main(trial):
    print(trial.attempt, trial.resume, file=open("starts", "a"))
    for step in range(1, trial.steps + 1):
        trial.report(step, 1.0 / step)
        while step % 3 == 0 and step < trial.steps and not os.path.exists(f"on-{step}"):
            time.sleep(0.01)
"""


def test_a_worker_goes_on_over_a_takeover_and_back(postgres_url: str, tmp_path: Path) -> None:
    pair, work = Pair(tmp_path, postgres_url), tmp_path / "work"
    work.mkdir()
    (work / "code_main.py").write_text(STEPS)
    with ExitStack() as stack:
        first = stack.enter_context(pair.server("first"))
        owner(first)
        second = stack.enter_context(pair.server("second"))
        balancer = stack.enter_context(Balancer([first.url, second.url]))
        study = first.call("POST", "/studies", _document())["id"]
        worker = stack.enter_context(WorkerProcess(work, balancer.url, TOKEN))
        wait_until(lambda: _trial(first, study)["last_step"] == 3, "the third step")
        first.kill()
        owner(second)
        (work / "on-3").touch()
        wait_until(lambda: _trial(second, study)["last_step"] == 6, "the sixth step")
        first.start()
        wait_until(lambda: "standby" in first.log, "the first one stands by")
        second.kill()
        owner(first)
        (work / "on-6").touch()
        wait_until(lambda: _trial(first, study)["state"] == "ended", "the trial is over")
        worker.terminate()
        assert worker.wait() == 0
        found = first.call("GET", f"/studies/{study}/trials/0")
    assert (found["outcome"], found["attempt"]) == ("complete", 1)
    assert [report["step"] for report in found["reports"]] == list(range(1, 10))
    assert (work / "starts").read_text() == "1 None\n"


def _document() -> dict[str, Any]:
    return {
        "name": "study",
        "objective": {"metric": "val_loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 1, "steps": 9, "parallel": 1},
        "run": {"entrypoint": "code_main:main"},
    }


def _trial(server: ServerProcess, study: int) -> dict[str, Any]:
    items = server.call("GET", f"/studies/{study}/trials")["items"]
    return items[0] if items else {"last_step": 0, "state": "none"}


def test_a_hung_owners_commit_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """It is stopped while the database works on its commit, and goes on after the takeover."""
    pair = Pair(tmp_path, postgres_url)
    late: list[httpx.Response] = []
    with pair.server("first") as first, pair.server("second") as second:
        owner(first).call("POST", "/studies", STUDY)
        sending = threading.Thread(target=lambda: late.append(_submit(first, 300.0)))
        with psycopg.connect(postgres_url.replace("+psycopg", "")) as beside:
            beside.execute("LOCK TABLE tuner_studies IN EXCLUSIVE MODE")
            sending.start()
            wait_until(lambda: _committing(postgres_url), "the commit is under way")
            first.send(signal.SIGSTOP)
            owner(second)
        stored = _submit(second, 30.0)
        assert stored.status_code == 201, stored.text
        first.send(signal.SIGCONT)
        assert first.wait() == 1
        sending.join()
        assert re.search(r"^error: process \d+ on .* took over this database$", first.log, re.M)
        assert late[0].status_code == 503
        assert late[0].headers["retry-after"]
        assert names(second) == ["before", "in flight"]


def _submit(server: ServerProcess, timeout: float) -> httpx.Response:
    return httpx.post(
        f"{server.url}/api/v1/studies",
        json={**STUDY, "name": "in flight"},
        headers={**HEADERS, "Idempotency-Key": "one"},
        timeout=timeout,
        trust_env=False,
    )


def _committing(url: str) -> bool:
    query = (
        "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
        " WHERE a.application_name = 'tuner' AND a.state = 'active'"
        " AND l.relation = 'tuner_owner'::regclass AND l.mode = 'RowShareLock'"
    )
    with psycopg.connect(url.replace("+psycopg", "")) as beside:
        row = beside.execute(query).fetchone()
    return row is not None and row[0] == 1
