"""Hostile values in every route's path, query, headers and body: no answer is a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.auth import OPEN
from tests.api.conftest import external
from tests.api.in_process import API, in_process, mounted, settings_in

HOSTILE = st.sampled_from(
    ["", " ", "0", "-1", "1", "loop", "9" * 30, "1e999", "nan", "NaN", "null", "true", "..", "../x",
     "..\\x", "%2e%2e%2f", "%252e", "/etc/passwd", "\0", "a\u202eb", "\ud83d", "<b>", "' OR 1--",
     "{{7*7}}", "${x}", "a" * 3000, "٣", "\u00e9", '"', "W/\"x\"", "*", "[]", "{}"],
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | HOSTILE
    | st.sampled_from([2**31, 2**63, 10**30, -(2**63), 1e308, 5e-324]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HOSTILE, inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
FIELDS = st.sampled_from(
    ["name", "space", "state", "priority", "parallel", "trials", "hours", "changes", "params",
     "like", "reports", "leases", "lease", "attempt", "step", "value", "metrics", "worker_id", "n",
     "wait_s", "objective", "run", "document", "first", "distributions", "last", "slots", "allow"],
)  # fmt: skip
BODIES = st.dictionaries(FIELDS, VALUES, max_size=6) | VALUES
QUERIES = st.dictionaries(
    st.sampled_from(
        ["limit", "cursor", "sort", "state", "project", "name", "owner", "outcome", "origin",
         "min_value", "max_value", "after", "format", "table", "dry_run", "attempt", "sha256", "x"]
    ),
    HOSTILE, max_size=3,
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key", "Content-Encoding", "Origin"]),
    HOSTILE, max_size=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BlockingPortal, httpx.AsyncClient]]:
    """Give a server with a study, and a way to ask it."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(in_process(settings_in(folder))) as (http, _),
    ):
        portal.call(_submit, http)
        yield portal, http


async def _submit(http: httpx.AsyncClient) -> None:
    response = await http.post(f"{API}/studies", json=external())
    assert response.status_code == 201


def _bytes(text: str) -> bytes:
    plain = "".join(c for c in text if c not in "\r\n\0").strip()
    return plain.encode("utf-8", "surrogatepass")


async def _send(
    http: httpx.AsyncClient, method: str, path: str, query: dict[str, str], **how: Any
) -> httpx.Response:
    pairs = "&".join(
        f"{quote(k)}={quote(v.encode('utf-8', 'surrogatepass'))}" for k, v in query.items()
    )
    return await http.request(method, f"{path}?{pairs}" if pairs else path, **how)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    route=st.sampled_from(sorted(mounted())),
    part=HOSTILE | st.just("loop"),
    query=QUERIES,
    headers=HEADERS,
    body=BODIES,
)
def test_nothing_breaks_a_route(
    asked: tuple[BlockingPortal, httpx.AsyncClient],
    route: tuple[str, str],
    part: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: Any,
) -> None:
    portal, http = asked
    method, path = route
    segment = quote(part.encode("utf-8", "surrogatepass"), safe="")
    for name in ("study", "number", "lease", "worker", "step", "token", "webhook"):
        path = path.replace(f"{{{name}}}", segment)
    if "wait_s" in json.dumps(body):
        body = {}
    how: dict[str, Any] = {
        "headers": {k: _bytes(v) for k, v in headers.items()},
    }
    if method not in ("GET", "DELETE"):
        how["content"] = json.dumps(body).encode()
        how["headers"] = {**how["headers"], "Content-Type": b"application/json"}
    response = portal.call(lambda: _send(http, method, path, query, **how))
    assert response.status_code < 500, (method, path, query, headers, body, response.text)
    assert response.headers["x-content-type-options"] == "nosniff"
    if (method, path) not in OPEN:
        assert "html" not in response.headers.get("content-type", "")
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["status"] == response.status_code
