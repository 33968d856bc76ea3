"""A bare FastAPI route: the report's body parsed by the same model, no database behind it.

    python -m benchmarks.rates.bare

Listens as `tuner serve` does, and says where.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.loops.auto import auto_loop_factory

from api.observe.metrics import Metrics
from api.serve import _config
from api.settings import Settings
from tuner.decision import Decision
from tuner.wire import DecisionView, ReportResult, ReportResults, Reports

BACKLOG = 2048


def bare() -> FastAPI:
    """Return the application."""
    app = FastAPI()

    @app.post("/api/v1/reports")
    async def report(body: Reports) -> ReportResults:
        decision = DecisionView(**dataclasses.asdict(Decision()))
        return ReportResults(results=[ReportResult(decision=decision) for _ in body.reports])

    return app


def main() -> None:
    """Serve until killed."""
    settings = Settings(db_url="", artifact_dir=Path(), admin_token="")
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        server = uvicorn.Server(_config(bare(), settings, Metrics()))
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
