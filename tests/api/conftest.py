"""A running server and what tests ask of it, as people and their loops do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.services import Services
from api.settings import Settings
from tests.api.in_process import API, in_process, settings_in


class Api:
    """A running server and a client that holds its token."""

    def __init__(self, http: httpx.AsyncClient, services: Services) -> None:
        self.http = http
        self.services = services

    async def get(self, path: str, **query: Any) -> Any:
        """GET under /api/v1 and return the JSON of a success."""
        return _ok(await self.http.get(API + path, params=query))

    async def post(self, path: str, body: Mapping[str, Any], **headers: str) -> Any:
        """POST under /api/v1 and return the JSON of a success."""
        return _ok(await self.http.post(API + path, json=body, headers=headers))

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """PATCH under /api/v1 and return the JSON of a success."""
        return _ok(await self.http.patch(API + path, json=body))

    async def refused(self, status: int, slug: str, method: str, path: str, **how: Any) -> Any:
        """Send a request under /api/v1 that is refused, and return its problem document."""
        response = await self.http.request(method, API + path, **how)
        return problem(response, status, slug)


def _ok(response: httpx.Response) -> Any:
    assert response.is_success, (response.status_code, response.text)
    return response.json()


def problem(response: httpx.Response, status: int, slug: str) -> Any:
    """Return the problem document of a refusal, after checking what it must be."""
    assert response.status_code == status, (response.status_code, response.text)
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == f"/problems/{slug}", body
    assert body["status"] == status
    assert body["title"]
    return body


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Api]:
    """Run the application from start to stop."""
    async with in_process(settings) as (http, services):
        yield Api(http, services)


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests on asyncio."""
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a server of this test's own."""
    return settings_in(tmp_path)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """Give a running server."""
    async with running(settings) as api:
        yield api


@pytest.fixture
async def proxied(settings: Settings) -> AsyncIterator[Api]:
    """Give a running server that listens to the network, behind a proxy."""
    behind = replace(settings, host="0.0.0.0", allowed_hosts=("tuner.example",))
    async with running(behind) as api:
        yield api


def external(name: str | None = "loop", **changes: Any) -> dict[str, Any]:
    """Return the document of a study whose trials the caller trains, over one rate."""
    return {
        "name": name,
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 0.001, "max": 1.0, "log": True}, "width": {"values": [8, 16]}},
        "sampler": {"name": "random", "seed": 1},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 10, "steps": 5},
        "run": "external",
    } | changes


async def train(
    api: Api,
    study: int | str,
    values: list[float],
    *,
    finish: bool = True,
) -> dict[str, Any]:
    """Lease a trial, report `values` as steps from 1, each at the level decided; finish it."""
    lease = (await api.post(f"/studies/{study}/ask", {}))["leases"][0]
    level = lease["lr_factor"]
    held = {"lease": lease["lease"], "attempt": lease["attempt"]}
    for step, value in enumerate(values, 1):
        report = held | {"step": step, "value": value, "lr_factor": level}
        body = {"reports": [report | {"metrics": {"accuracy": 1 - value}}]}
        (result,) = (await api.post("/reports", body))["results"]
        decision = result["decision"]
        assert decision is not None, result
        level = decision["lr_factor"]
        if decision["action"] == "stop":
            return dict(lease)
    if finish:
        await api.post(f"/leases/{lease['lease']}/finish", {"attempt": lease["attempt"]})
    return dict(lease)
