"""A server in the test's own loop, and a client that speaks the worker protocol to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from api.daytime import DayTime
from api.deadlines import Deadlines
from api.services import Services
from tests.api.in_process import API, http_client, in_process, settings_in
from tuner.trial import Trial
from tuner.wire import (
    DecisionView,
    HeartbeatReply,
    LeaseGrant,
    Leases,
    ReportItem,
    ReportResult,
    ReportResults,
    StudyView,
    TrialAfter,
)

SPACE: Mapping[str, Any] = {
    "x": {"min": 1e-4, "max": 1.0, "log": True},
    "y": {"min": 0.0, "max": 0.9},
}


@dataclass
class Clock:
    """Time that moves only when told."""

    seconds: float = 0.0
    jump: float = 0.0
    """Seconds by which the time of day was set forward."""

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds + self.jump)


def document(**changes: Any) -> dict[str, Any]:
    """A study without surprises: random points, nothing steers or prunes."""
    return {
        "name": "s",
        "objective": {"metric": "val_loss", "mode": "min"},
        "space": dict(SPACE),
        "sampler": {"name": "random", "seed": 5},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": 50},
        "run": "external",
        **changes,
    }


@dataclass
class Node:
    """Requests, with their replies read."""

    http: httpx.AsyncClient
    services: Services

    async def post(
        self, path: str, body: Mapping[str, Any] | None = None, key: str | None = None
    ) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.http.post(API + path, json=dict(body or {}), headers=headers)

    async def submit(self, **changes: Any) -> StudyView:
        reply = await self.post("/studies", document(**changes))
        assert reply.status_code == 201, reply.text
        return StudyView.model_validate_json(reply.content)

    async def study(self, ref: str | int) -> StudyView:
        reply = await self.http.get(f"{API}/studies/{ref}")
        assert reply.status_code == 200, reply.text
        return StudyView.model_validate_json(reply.content)

    def trial(self, grant: LeaseGrant) -> Trial:
        return self.services.ledger.memory.trial(grant.study_id, grant.number)

    def trials(self, study: StudyView) -> list[Trial]:
        return list(self.services.ledger.memory.trials(study.id))

    async def register(self, **more: Any) -> str:
        body = {"name": "w", "host": "h", "slots": 4, "allow": ["pkg.train:*"], **more}
        reply = await self.post("/workers", body)
        assert reply.status_code == 201, reply.text
        return str(reply.json()["worker_id"])

    async def acquire(self, worker: str, n: int = 1, wait_s: float = 0.0) -> Leases:
        reply = await self.post("/leases", {"worker_id": worker, "n": n, "wait_s": wait_s})
        assert reply.status_code == 200, reply.text
        return Leases.model_validate_json(reply.content)

    async def ask(self, study: str = "s", key: str | None = None) -> LeaseGrant:
        reply = await self.post(f"/studies/{study}/ask", {}, key)
        assert reply.status_code == 200, reply.text
        (grant,) = Leases.model_validate_json(reply.content).leases
        return grant

    async def results(self, items: list[ReportItem]) -> list[ReportResult]:
        body = {"reports": [i.model_dump(mode="json") for i in items]}
        reply = await self.post("/reports", body)
        assert reply.status_code == 200, reply.text
        return ReportResults.model_validate_json(reply.content).results

    async def report(
        self, grant: LeaseGrant, step: int, value: float | None, lr_factor: float = 1.0
    ) -> DecisionView:
        (result,) = await self.results([item(grant, step, value, lr_factor)])
        assert result.decision is not None, result.problem
        return result.decision

    async def refused(self, grant: LeaseGrant, step: int, value: float | None) -> str:
        (result,) = await self.results([item(grant, step, value)])
        assert result.problem is not None, result.decision
        return slug(result.problem.type)

    async def beat(self, *grants: LeaseGrant, worker: str | None = None) -> HeartbeatReply:
        held = [{"lease": g.lease, "attempt": g.attempt} for g in grants]
        reply = await self.post("/heartbeats", {"worker_id": worker, "leases": held})
        assert reply.status_code == 200, reply.text
        return HeartbeatReply.model_validate_json(reply.content)

    async def finish(self, grant: LeaseGrant, **body: Any) -> TrialAfter:
        reply = await self.try_finish(grant, **body)
        assert reply.status_code == 200, reply.text
        return TrialAfter.model_validate_json(reply.content)

    async def try_finish(self, grant: LeaseGrant, **body: Any) -> httpx.Response:
        whole = {"attempt": grant.attempt, **body}
        return await self.post(f"/leases/{grant.lease}/finish", whole)

    async def release(self, grant: LeaseGrant) -> TrialAfter:
        reply = await self.post(f"/leases/{grant.lease}/release", {"attempt": grant.attempt})
        assert reply.status_code == 200, reply.text
        return TrialAfter.model_validate_json(reply.content)


def item(grant: LeaseGrant, step: int, value: float | None, lr_factor: float = 1.0) -> ReportItem:
    return ReportItem(
        lease=grant.lease,
        attempt=grant.attempt,
        step=step,
        value=value,
        status="diverged" if value is None else "ok",
        lr_factor=lr_factor,
    )


def slug(kind: str) -> str:
    return kind.rpartition("/")[2]


@asynccontextmanager
async def serve(folder: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Node]:
    """Serve a database in `folder`; with `clock`, time stands still and nothing is swept."""
    async with serve_to(http_client, folder, clock, **settings) as node:
        yield node


@asynccontextmanager
async def serve_to(
    client: Callable[[ASGIApp, str], httpx.AsyncClient],
    folder: Path,
    clock: Clock | None,
    /,
    **settings: Any,
) -> AsyncIterator[Node]:
    """Serve as `serve` does, to a client of one's own."""
    if clock is not None:
        settings = {"sweep_s": 1e6, **settings}
    change = None if clock is None else partial(_with_clock, clock=clock)
    async with in_process(settings_in(folder, **settings), change, client) as (http, services):
        yield Node(http=http, services=services)


def _with_clock(services: Services, clock: Clock) -> Services:
    return replace(
        services,
        clock=clock.now,
        monotonic=clock.monotonic,
        deadlines=Deadlines(services.settings.lease_s, clock.monotonic),
        day=DayTime(),
    )
