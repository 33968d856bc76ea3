"""The whole server: its start, its stop, and its description."""

from __future__ import annotations

import signal
import socket
import sqlite3
import threading
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Api, external
from tests.api.in_process import API, mounted
from tests.serving import TOKEN, ServerProcess, refused

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
BODILESS = {"/logout", "/api/v1/workers/{worker}/drain"}


def test_first_start_makes_a_token_and_prints_it_once(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, token=None) as server:
        token = (tmp_path / "admin-token").read_text().strip()
        assert f"admin token: {token}" in server.log.splitlines()
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{server.url}{API}/studies", headers=headers).status_code == 200
        assert "server" not in httpx.get(f"{server.url}/healthz").headers
        assert server.stop() == 0
    assert (tmp_path / "tuner.db").exists()
    with ServerProcess(tmp_path, token=None) as server:
        assert token not in server.log
        assert str(tmp_path / "admin-token") in server.log.splitlines()[-1]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_long_polls_and_keeps_what_was_acknowledged(
    tmp_path: Path, sig: signal.Signals
) -> None:
    replies: list[httpx.Response] = []
    with ServerProcess(tmp_path) as server:
        with httpx.Client(base_url=server.url + API, headers=HEADERS, timeout=120) as http:
            study = external(space={"x": {"values": [1]}}, budget={"trials": 1})
            assert http.post("/studies", json=study).status_code == 201
            assert len(http.post("/studies/loop/ask", json={}).json()["leases"]) == 1

            def wait() -> None:
                replies.append(http.post("/studies/loop/ask", json={"wait_s": 60.0}))

            poll = threading.Thread(target=wait)
            poll.start()
            code = server.stop(sig)
            poll.join(30)
        assert code == 0
    if replies:
        assert replies[0].status_code in (200, 503)
    with ServerProcess(tmp_path) as server:
        found = httpx.get(f"{server.url}{API}/studies/loop", headers=HEADERS).json()
        assert found["counts"]["running"] == 1


def test_a_second_server_on_one_database_says_why_it_does_not_start(tmp_path: Path) -> None:
    with ServerProcess(tmp_path):
        line = refused(tmp_path, "--port", "0")
    assert line.startswith("error: ")
    assert "owns this database" in line


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(tmp_path, "--port", str(port))
    assert line == f"error: port {port} is taken by another program; choose another with --port"
    assert not (tmp_path / "admin-token").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "--behind-proxy"),
        (("--host", "no.such.host.example"), "--behind-proxy"),
        (("--db", "mysql://x/y"), "sqlite:///FILE"),
        (("--db", "nonsense"), "database"),
        (("--db", "sqlite://"), "file"),
        (("--db", "postgresql://nobody@127.0.0.1:1/none"), "database"),
    ],
)
def test_what_can_not_be_served_is_one_sentence(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    assert words in refused(tmp_path, "--port", "0", *options)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert server.stop() == 0
    with sqlite3.connect(tmp_path / "tuner.db") as database:
        database.execute("UPDATE tuner_alembic_version SET version_num = 'from-the-future'")
    database.close()
    assert "newer version" in refused(tmp_path, "--port", "0")


def test_behind_a_proxy_it_listens_to_the_network(tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--behind-proxy", "--allowed-host", "tuner.example")
    with ServerProcess(tmp_path, *options) as server:
        headers = HEADERS | {"Host": "tuner.example"}
        assert httpx.get(f"{server.url}{API}/studies", headers=headers).status_code == 200
        headers["Host"] = "other.example"
        assert httpx.get(f"{server.url}{API}/studies", headers=headers).status_code == 421


@pytest.mark.anyio
async def test_description_covers_every_route(api: Api) -> None:
    schema = (await api.http.get("/openapi.json")).json()
    described = {(m.upper(), path) for path, found in schema["paths"].items() for m in found}
    pages = {("GET", "/login"), ("GET", "/login.css"), ("POST", "/logout")}
    assert described == set(mounted()) - pages
    operations = [o for found in schema["paths"].values() for o in found.values()]
    names = [o["operationId"] for o in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["tags"]
        assert operation["summary"]
        assert {"421", "422", "500", "503"} <= operation["responses"].keys()
    for reply in schema["components"]["responses"].values():
        (error,) = reply["content"].values()
        assert error["schema"]["$ref"].endswith("/Problem")
    _check_references(schema, schema)


@pytest.mark.anyio
async def test_description_shows_the_bodies(api: Api) -> None:
    schema = (await api.http.get("/openapi.json")).json()
    submit = schema["paths"]["/api/v1/studies"]["post"]["requestBody"]["content"]
    assert set(submit) == {
        "application/json",
        "application/yaml",
        "application/x-yaml",
        "text/yaml",
    }
    for path, found in schema["paths"].items():
        for method, operation in found.items():
            if method in ("post", "put", "patch") and path not in BODILESS:
                assert operation["requestBody"]["required"], (method, path)
    assert "trials" in schema["components"]["schemas"]["Budget"]["properties"]


def _check_references(node: object, schema: dict[str, object]) -> None:
    if isinstance(node, dict):
        if isinstance(ref := node.get("$ref"), str):
            found: object = schema
            for part in ref.removeprefix("#/").split("/"):
                assert isinstance(found, dict)
                found = found[part]
        for value in node.values():
            _check_references(value, schema)
    if isinstance(node, list):
        for value in node:
            _check_references(value, schema)
