"""The composition root: settings in, application out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version

from fastapi import Depends, FastAPI

from api import draining, missing, problems, reaper
from api.access import permitted, require_declared
from api.auth import OPEN, Guard
from api.daytime import DayTime
from api.deadlines import Deadlines
from api.deps import known_query
from api.direct import Shortcut
from api.drains import Drains
from api.files import mark, orphans
from api.files.locks import TrialLocks
from api.head import HeadAsGet
from api.limits.places import Places
from api.limits.rate import RateLimit
from api.live.hub import Hub
from api.observe.metrics import Metrics
from api.observe.middleware import Observed
from api.observe.state import State
from api.observe.tracing import Tracing
from api.openapi import describe
from api.problems import Boundary
from api.routes import PAGES, PUBLIC, ROUTERS
from api.search import Search
from api.services import Services
from api.sessions import Sessions
from api.settings import Settings
from api.throttle import Throttle
from api.webhooks import dispatch
from api.webhooks.network import Network
from storage import open_ledger
from storage.session_rows import read_sessions
from storage.stores import FolderStore, Store, open_store

PREFIX = "/api/v1"


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, tracing: Tracing | None = None
) -> AsyncIterator[Services]:
    """Yield the running parts of a server; what was handed in is stored before it ends.

    Raises:
        OwnerLost: another process owns the database.
        SchemaMismatch: the database was written by another version.
        Unavailable: the database can't be opened.
    """
    limits = settings.limits
    settings.artifact_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with open_ledger(settings.db_url) as ledger:
        services = Services(
            settings=settings,
            ledger=ledger,
            clock=_now,
            monotonic=time.monotonic,
            search=Search(),
            deadlines=Deadlines(settings.lease_s, time.monotonic),
            drains=Drains(time.monotonic),
            day=DayTime(),
            sessions=Sessions(
                monotonic=time.monotonic,
                idle_s=settings.session_idle_s,
                most_s=settings.session_most_s,
            ),
            throttle=Throttle(limits.wrong_tokens, limits.wrong_token_s, time.monotonic),
            hub=Hub(ledger),
            store=_store(settings),
            locks=TrialLocks(),
            streams=Places("event streams", limits.streams, limits.streams_each, limits.retry_s),
            polls=Places("long polls", limits.polls, limits.polls_each, limits.retry_s),
            network=Network(settings.webhook_hosts),
            metrics=metrics,
        )
        _observe(services, tracing)
        try:
            await asyncio.to_thread(services.store.check)
            await mark.claim(services)
            await _restore_sessions(services)
            await missing.fall_back(services)
            await draining.restore(services)
            async with (
                reaper.running(services),
                dispatch.running(services),
                orphans.running(services),
            ):
                yield services
        finally:
            services.closing.set()
            services.search.close()
            await services.importances.close()


def create_app(
    settings: Settings, *, metrics: Metrics | None = None, tracing: Tracing | None = None
) -> FastAPI:
    """Return the application; its parts start and end with its lifespan."""
    counted = metrics or Metrics(program_version())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, counted, tracing) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="tuner",
        description="A self-hosted service that tunes the training of neural networks.",
        version=program_version(),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(permitted), Depends(known_query)],
    )
    routers = [*((PREFIX, router) for router in ROUTERS), *(("", r) for r in (*PUBLIC, *PAGES))]
    # The last one added is the outermost: errors of the guard are answered by the boundary.
    app.add_middleware(Shortcut, routers=routers)
    app.add_middleware(RateLimit, limits=settings.limits, monotonic=time.monotonic)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(HeadAsGet)
    app.add_middleware(Boundary)
    app.add_middleware(Observed, metrics=counted, tracing=tracing)
    problems.install(app, routers)
    for prefix, router in routers:
        app.include_router(router, prefix=prefix)
    require_declared(routers, app.routes, OPEN)
    describe(app, [(PREFIX, router) for router in ROUTERS])
    return app


async def _restore_sessions(services: Services) -> None:
    now = services.clock()
    stored = await services.ledger.read(partial(read_sessions, now=now))
    services.sessions.restore(stored, now)


def _store(settings: Settings) -> Store:
    folder = settings.artifact_dir
    if settings.artifact_url is None:
        return FolderStore(folder)
    return open_store(settings.artifact_url, staging=folder, endpoint=settings.artifact_endpoint)


def _observe(services: Services, tracing: Tracing | None) -> None:
    metrics, ledger = services.metrics, services.ledger
    metrics.watch(State(services))
    metrics.listeners.set_function(lambda: services.hub.count)
    ledger.subscribe(metrics.committed)
    services.search.on_ask = metrics.asked
    if tracing is None:
        ledger.on_commit = metrics.commit
        return

    def on_commit(commands: int, seconds: float) -> None:
        metrics.commit(commands, seconds)
        tracing.commit(commands, seconds)

    ledger.on_commit = on_commit


def _now() -> datetime:
    return datetime.now(UTC)


def program_version() -> str:
    """Return the version of the program."""
    try:
        return version("tuner")
    except PackageNotFoundError:
        return "0"
