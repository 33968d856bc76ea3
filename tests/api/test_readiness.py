"""Whether work is taken follows the database: away and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.in_process import in_process, settings_in
from tests.postgres import Postgres

pytestmark = pytest.mark.anyio
BACK_S = 60.0


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(BACK_S):
        while (await http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)


async def test_a_server_without_its_database_is_alive_and_not_ready(tmp_path: Path) -> None:
    with Postgres() as database:
        settings = settings_in(tmp_path, db_url=database.url(database.new_database()))
        async with in_process(settings) as (http, _):
            await _ready(http)
            database.kill()
            reply = await http.get("/readyz")
            body = problem(reply, 503, "unavailable")
            assert body["extra"]["reasons"] == ["the database does not answer"]
            assert (await http.get("/healthz")).status_code == 200
            database.start()
            await _ready(http)
