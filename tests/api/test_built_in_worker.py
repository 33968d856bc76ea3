"""The built-in worker token, which a server takes from its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.credentials import digest_of, worker_token
from api.settings import WorkerToken
from tests.api.in_process import in_process, settings_in
from tests.api.node import Node, document, serve
from tests.api.people import as_who, peopled
from tuner.access import WORKER_NAME, Role
from tuner.errors import InvalidInput

SECRET = "a-workers-own-secret-0123456789-abcdef"
OTHER = SECRET[::-1]
WORKER = {"name": "w", "host": "h", "slots": 9, "allow": ["pkg.train:*"]}
RUN = {"entrypoint": "pkg.train:main"}


def built_in(secret: str = SECRET, project: str | None = None) -> WorkerToken:
    return WorkerToken(digest=digest_of(secret), project=project)


async def leased(node: Node, secret: str) -> list[str]:
    """Register a worker, and return the studies whose trials it gets."""
    registered = await as_who(node, secret, "POST", "/workers", WORKER)
    assert registered.status_code == 201, registered.text
    body = {"worker_id": registered.json()["worker_id"], "n": 2, "wait_s": 0}
    found: set[str] = set()
    for _ in range(3):
        reply = await as_who(node, secret, "POST", "/leases", body)
        assert reply.status_code == 200, reply.text
        found |= {lease["study"] for lease in reply.json()["leases"]}
    return sorted(found)


@pytest.mark.anyio
async def test_it_may_what_a_worker_may(tmp_path: Path) -> None:
    async with serve(tmp_path, worker_token=built_in()) as node:
        for name in ("vision", "speech"):
            await node.submit(name=name, run=RUN, queue={"project": name})
        assert await leased(node, SECRET) == ["speech", "vision"]
        for method, path in (("GET", "/studies"), ("GET", "/tokens"), ("POST", "/studies")):
            body = document(run=RUN) if method == "POST" else None
            assert (await as_who(node, SECRET, method, path, body)).status_code == 403
        assert (await as_who(node, OTHER, "POST", "/workers", WORKER)).status_code == 401


@pytest.mark.anyio
async def test_with_a_project_it_gets_that_projects_trials(tmp_path: Path) -> None:
    async with serve(tmp_path, worker_token=built_in(project="vision")) as node:
        for name in ("vision", "speech"):
            await node.submit(name=name, run=RUN, queue={"project": name})
        assert await leased(node, SECRET) == ["vision"]


@pytest.mark.anyio
async def test_another_value_ends_the_old_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, worker_token=built_in())
    async with in_process(settings) as (http, services):
        node = Node(http, services)
        assert (await as_who(node, SECRET, "POST", "/workers", WORKER)).status_code == 201
    settings = settings_in(tmp_path, worker_token=built_in(OTHER))
    async with in_process(settings) as (http, services):
        node = Node(http, services)
        assert (await as_who(node, SECRET, "POST", "/workers", WORKER)).status_code == 401
        assert (await as_who(node, OTHER, "POST", "/workers", WORKER)).status_code == 201
    assert all(SECRET.encode() not in f.read_bytes() for f in tmp_path.glob("tuner.db*"))


@pytest.mark.anyio
async def test_it_is_in_no_list_and_can_not_be_revoked(tmp_path: Path) -> None:
    async with peopled(tmp_path, worker_token=built_in()) as (node, tokens):
        listed = (await as_who(node, tokens[Role.ADMIN], "GET", "/tokens")).json()["items"]
        assert WORKER_NAME not in {token["name"] for token in listed}
        for name in (WORKER_NAME, "admin"):
            refused = await as_who(node, tokens[Role.ADMIN], "DELETE", f"/tokens/{name}")
            assert refused.status_code == 404
            assert "restart" in refused.json()["detail"]
            body = {"name": name, "role": "worker"}
            assert (await node.post("/tokens", body)).status_code == 409


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("TUNER_WORKER_TOKEN", "TUNER_WORKER_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_it_comes_from_the_environment_as_its_hash(variables: pytest.MonkeyPatch) -> None:
    assert worker_token("admins") is None
    variables.setenv("TUNER_WORKER_TOKEN", SECRET)
    assert worker_token("admins") == built_in()
    variables.setenv("TUNER_WORKER_PROJECT", "vision")
    assert worker_token("admins") == built_in(project="vision")
    assert SECRET not in repr(worker_token("admins"))


@pytest.mark.parametrize(
    ("token", "project", "why"),
    [
        ("s" * 31, "", "at least 32"),
        # Long, and guessed at once.
        ("s" * 64, "", "at least 32 random"),
        (f"{SECRET} x", "", "without spaces"),
        (f"{SECRET}\u00e9", "", "ASCII"),
        ("the-admins-token-0123456789-abcdef", "", "is the admin token"),
        (SECRET, "two\nlines", "names no project"),
        ("", "vision", "goes with TUNER_WORKER_TOKEN"),
    ],
)
def test_a_weak_one_is_refused(
    variables: pytest.MonkeyPatch, token: str, project: str, why: str
) -> None:
    variables.setenv("TUNER_WORKER_TOKEN", token)
    variables.setenv("TUNER_WORKER_PROJECT", project)
    with pytest.raises(InvalidInput, match=why):
        worker_token("the-admins-token-0123456789-abcdef")
