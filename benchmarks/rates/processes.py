"""The processes that are measured, each in a folder of its own and ended with its context."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from storage.upgrade import upgrade
from tests.postgres import Postgres
from tuner.cli.demo import free_port, started, wait_until_ready

ROOT = Path(__file__).parents[2]
_LIMIT_S = 600.0
_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Served:
    """Something that listens, and the process that does."""

    url: str
    token: str
    pid: int


@contextmanager
def folder() -> Iterator[Path]:
    """Give an empty folder."""
    with tempfile.TemporaryDirectory(prefix="tuner-bookkeeping-") as name:
        yield Path(name)


@contextmanager
def tuner_server(db: str) -> Iterator[Served]:
    """Run `tuner serve` on a database."""
    with folder() as home:
        token, port = secrets.token_urlsafe(24), free_port()
        kept = {name: x for name, x in os.environ.items() if not name.startswith("TUNER_")}
        environment = {**kept, "TUNER_HOME": str(home), "TUNER_ADMIN_TOKEN": token}
        url = f"http://127.0.0.1:{port}"
        command = ["serve", "--db", db, "--port", str(port)]
        with started("server", command, environment, home) as part:
            wait_until_ready(url, part)
            yield Served(url=url, token=token, pid=part.process.pid)
            if said := _complaints(part.log.read_text()):
                raise RuntimeError(f"the server complained:\n{said}")


def _complaints(log: str) -> str:
    return log[-4000:] if "Traceback" in log or "ERROR" in log else ""


@contextmanager
def bare_route() -> Iterator[Served]:
    """Run the bare route."""
    with _running("benchmarks.rates.bare") as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        yield Served(url=url, token="none", pid=process.pid)


@contextmanager
def grpc_proxy(db: str) -> Iterator[Served]:
    """Run Optuna's gRPC proxy; its URL is what `benchmarks.rates.peer` takes."""
    port = free_port()
    with _running("benchmarks.rates.peer", "serve", db, str(port)) as process:
        deadline = time.monotonic() + _START_S
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}", trust_env=False)
            except httpx.ConnectError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            except httpx.TransportError:
                break  # it listens, and does not speak HTTP/1.1
        yield Served(url=f"grpc:{port}", token="", pid=process.pid)


@contextmanager
def _running(module: str, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", module, *args]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()


def answered(module: str, *args: str) -> Any:
    """Run a module of the benchmark to its end and return the JSON it printed."""
    ran = subprocess.run(
        [sys.executable, "-m", module, *args],
        cwd=ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(f"{module} {' '.join(args)} failed:\n{ran.stderr[-4000:]}")
    return json.loads(ran.stdout)


def upgraded(postgres: Postgres) -> str:
    """Return the URL of a new database with our tables."""
    url = postgres.url(postgres.new_database())
    upgrade(url)
    return url


@contextmanager
def copied(postgres: Postgres, url: str) -> Iterator[str]:
    """Give the URL of a copy of a database that nobody is connected to."""
    name = f"copy{secrets.token_hex(6)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(url.rpartition("/")[2])
    )
    plain = postgres.url("postgres").replace("+psycopg", "", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(statement)
    yield postgres.url(name)
    postgres.drop_database(name)
