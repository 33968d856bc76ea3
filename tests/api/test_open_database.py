"""While the service runs, plain Optuna and optuna-dashboard open its database."""

from __future__ import annotations

import asyncio

import httpx
import optuna
import pytest
from optuna_dashboard import wsgi

from api.settings import Settings
from tests.api.conftest import Api, external, train

pytestmark = pytest.mark.anyio


async def test_optuna_loads_a_study_that_runs(api: Api, settings: Settings) -> None:
    await api.post("/studies", external())
    await train(api, "loop", [0.5, 0.25])
    await train(api, "loop", [0.75], finish=False)
    study = await asyncio.to_thread(optuna.load_study, study_name="loop", storage=settings.db_url)
    assert [t.state.name for t in study.trials] == ["COMPLETE", "RUNNING"]
    assert study.best_value == 0.25
    assert study.trials[1].intermediate_values == {1: 0.75}
    await train(api, "loop", [0.125])
    assert study.best_value == 0.125


async def test_optuna_dashboard_shows_a_study_that_runs(api: Api, settings: Settings) -> None:
    await api.post("/studies", external())
    await train(api, "loop", [0.5, 0.25])
    await train(api, "loop", [0.75], finish=False)
    transport = httpx.WSGITransport(app=wsgi(settings.db_url))

    def look() -> tuple[list[str], list[str]]:
        with httpx.Client(transport=transport, base_url="http://dashboard.test") as http:
            (listed,) = http.get("/api/studies").json()["study_summaries"]
            detail = http.get(f"/api/studies/{listed['study_id']}").json()
        return [listed["study_name"]], [t["state"] for t in detail["trials"]]

    assert await asyncio.to_thread(look) == (["loop"], ["Complete", "Running"])
