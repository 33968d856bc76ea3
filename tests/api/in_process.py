"""The real application over an in-process transport, on a real SQLite file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from api.app import create_app
from api.limits.settings import Limits
from api.routes import PUBLIC, ROUTERS
from api.services import Services
from api.settings import Settings
from tests.databases import lay_database

TOKEN = "a-token-for-tests"
URL = "http://127.0.0.1:8700"
API = "/api/v1"


def settings_in(folder: Path, **chosen: Any) -> Settings:
    """Return the settings of a server with its data in `folder`.

    Without a `db_url`, an empty SQLite database is laid there; without `limits`, a token may send
    as fast as it can.
    """
    chosen.setdefault("limits", Limits(rate=0.0))
    chosen.setdefault("db_url", lay_database(folder / "tuner.db"))
    return Settings(artifact_dir=folder / "artifacts", admin_token=TOKEN, **chosen)


def mounted() -> list[tuple[str, str]]:
    """Return method and path of every route."""
    return [
        (method, prefix + route.path)
        for prefix, routers in ((API, ROUTERS), ("", PUBLIC))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    ]


def http_client(app: ASGIApp, token: str) -> httpx.AsyncClient:
    """Return a client of the application that sends a token."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url=URL,
        headers={"Authorization": f"Bearer {token}"},
    )


@asynccontextmanager
async def in_process(
    settings: Settings,
    change: Callable[[Services], Services] | None = None,
    client: Callable[[ASGIApp, str], httpx.AsyncClient] = http_client,
) -> AsyncIterator[tuple[httpx.AsyncClient, Services]]:
    """Run the application from start to stop; yield a client with its token, and its parts."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        if change is not None:
            app.state.services = change(app.state.services)
        async with client(app, settings.admin_token) as http:
            yield http, app.state.services
