"""Requests: what is sent, what is sent again, and errors as the project's own."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.unit.fakes import FakeServer, over, problem, study_view
from tuner.client import Client
from tuner.client.address import DEFAULT_URL, from_environment, is_loopback
from tuner.client.transport import Transport
from tuner.errors import (
    DuplicateName,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    ServerUnreachable,
    TunerError,
    Unavailable,
)

REFUSED = httpx.ConnectError("refused")


def test_requests_carry_the_token_and_the_prefix() -> None:
    server = FakeServer()
    server.on("GET", "/studies/7", study_view())
    assert server.client().study(7).name == "digits"
    [request] = server.requests
    assert str(request.url) == "http://server.test/api/v1/studies/7"
    assert request.headers["Authorization"] == "Bearer secret-token"
    assert request.extensions["timeout"] == {
        "connect": 5.0,
        "read": 10.0,
        "write": 10.0,
        "pool": 10.0,
    }


@pytest.mark.parametrize(
    "trouble",
    [
        REFUSED,
        httpx.ReadError("reset"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("closed"),
        problem(503, "unavailable", "away"),
        problem(429, "too-many", "slow down"),
        problem(409, "key-in-flight", "wait"),
        httpx.Response(502, text="<html>bad gateway</html>"),
    ],
    ids=str,
)
def test_a_write_is_repeated_with_its_key(trouble: object) -> None:
    server = FakeServer()
    server.on("POST", "/studies", trouble, study_view())
    study = server.client().submit({"run": "external"})
    assert study.id == 7
    first, second = server.sent("POST", "/studies")
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.content == second.content


def test_two_writes_have_two_keys() -> None:
    server = FakeServer()
    server.on("POST", "/studies", study_view())
    client = server.client()
    client.submit({})
    client.submit({})
    first, second = server.sent("POST", "/studies")
    assert first.headers["Idempotency-Key"] != second.headers["Idempotency-Key"]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 500, 507])
def test_other_refusals_are_final(status: int) -> None:
    server = FakeServer()
    server.on("GET", "/studies/7", problem(status, "whatever", "no"))
    with pytest.raises(TunerError, match="no"):
        server.client().study(7)
    assert len(server.requests) == 1


def test_retry_after_is_waited_for() -> None:
    server = FakeServer()
    late = problem(503, "unavailable", "away", headers={"Retry-After": "60"})
    server.on("GET", "/studies/7", late)
    with pytest.raises(Unavailable):
        server.client(patience_s=5.0).study(7)
    assert len(server.requests) == 1  # 60 s would pass the 5 s of patience


def test_patience_ends() -> None:
    server = FakeServer()
    server.on("GET", "/studies/7", REFUSED)
    with pytest.raises(ServerUnreachable, match=r"server\.test.*refused.*TUNER_URL"):
        server.client(patience_s=0.5).study(7)
    assert len(server.requests) >= 2


def test_the_local_server_has_a_hint() -> None:
    transport = Transport(DEFAULT_URL, None, transport=httpx.MockTransport(FakeServer().serve))
    assert "tuner serve" in transport._unreachable(REFUSED).detail


def test_problems_become_errors() -> None:
    server = FakeServer()
    faults = [{"where": "budget.trails", "message": "unknown key"}]
    server.on("POST", "/studies", problem(422, "invalid-input", "bad", faults=faults))
    with pytest.raises(InvalidInput) as caught:
        server.client().submit({})
    assert caught.value.faults[0].where == "budget.trails"
    server.on("POST", "/studies", problem(409, "duplicate-name", "taken", extra={"study_id": 3}))
    with pytest.raises(DuplicateName) as taken:
        server.client().submit({})
    assert taken.value.extra["study_id"] == 3


def test_another_service_is_told_from_ours() -> None:
    server = FakeServer()
    server.on("GET", "/studies/7", httpx.Response(200, text="<html>hello</html>"))
    with pytest.raises(TunerError, match="another service"):
        server.client().study(7)


def test_pages_are_read_as_they_are_reached() -> None:
    server = FakeServer()
    page1 = {"items": [study_view(id=1).model_dump(mode="json")], "next_cursor": "c1"}
    page2 = {"items": [study_view(id=2).model_dump(mode="json")], "next_cursor": None}
    server.on("GET", "/studies", page1, page2)
    studies = server.client().studies()
    assert server.requests == []
    first = next(studies)
    assert (first.id, first.name) == (1, first.view.name)
    assert len(server.requests) == 1
    assert [s.id for s in studies] == [2]
    assert dict(server.requests[1].url.params) == {"cursor": "c1"}


def test_a_file_is_read_as_yaml_1_2_or_json(tmp_path: Path) -> None:
    server = FakeServer()
    server.on("POST", "/studies", over())
    yaml, json_ = tmp_path / "a.yaml", tmp_path / "a.json"
    yaml.write_text("name: no\nspace: {lr: {min: 1e-4, max: 1}}\n")
    json_.write_text('{"name": "no", "space": {"lr": {"min": 1e-4, "max": 1}}}')
    server.client().submit(yaml)
    server.client().submit(str(json_))
    first, second = server.bodies("POST", "/studies")
    assert first == second == {"name": "no", "space": {"lr": {"min": 1e-4, "max": 1}}}


@pytest.mark.parametrize("document", [{"x": float("nan")}, {"x": object()}], ids=["nan", "object"])
def test_what_is_no_json_is_refused(document: dict[str, object]) -> None:
    server = FakeServer()
    with pytest.raises(InvalidInput, match="JSON"):
        server.client().submit(document)
    assert server.requests == []


def test_a_dry_run_answers_the_document() -> None:
    server = FakeServer()
    server.on("POST", "/studies", {"spec": {"name": "x"}, "warnings": ["careful"]})
    got = server.client().submit({"name": "x"}, dry_run=True)
    assert (got.spec, got.warnings) == ({"name": "x"}, ["careful"])
    assert dict(server.requests[0].url.params) == {"dry_run": "true"}


def test_names_are_one_segment_of_the_path() -> None:
    server = FakeServer()
    with pytest.raises(NotFound):
        server.client().study("a b?x=1#%")
    assert server.requests[0].url.raw_path == b"/api/v1/studies/a%20b%3Fx%3D1%23%25"


@pytest.mark.parametrize("name", ["vision/resnet", "..", ".", "../workers"])
def test_a_name_no_study_can_have_leads_nowhere_else(name: str) -> None:
    server = FakeServer()
    server.on("GET", "/studies", {"items": [], "next_cursor": None})
    server.on("GET", "/workers", {"items": []})
    with pytest.raises(NotFound):
        server.client().study(name)
    escaped = f"/api/v1/studies/{name.replace('/', '%2F')}".encode()
    assert {r.url.raw_path for r in server.requests} <= {escaped}


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8700", True),
        ("http://localhost", True),
        ("http://[::1]:80/prefix", True),
        ("http://127.0.0.1.evil.example", False),
        ("https://tuner.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_is_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


@pytest.mark.parametrize("url", ["tuner.example", "ftp://x", "http://", "http://a b:x"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        Client(url, "token")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in ("TUNER_URL", "TUNER_TOKEN", "TUNER_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    (tmp_path / "admin-token").write_text("stored-token\n")
    return monkeypatch


def test_arguments_go_before_the_environment(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("TUNER_URL", "http://env.test")
    bare.setenv("TUNER_TOKEN", "env-token")
    assert from_environment(None, None) == ("http://env.test", "env-token")
    assert from_environment("http://arg.test", "arg-token") == ("http://arg.test", "arg-token")


def test_the_stored_token_stays_on_this_machine(bare: pytest.MonkeyPatch) -> None:
    assert from_environment(None, None) == (DEFAULT_URL, "stored-token")
    assert from_environment("http://elsewhere.test", None) == ("http://elsewhere.test", None)


def test_an_unread_token_is_an_error_of_ours(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "admin-token").unlink()
    (tmp_path / "admin-token").mkdir()
    with pytest.raises(NotAuthenticated):
        from_environment(None, None)
