"""A worker that leaves signs off: nobody takes it for alive for the rest of a lease's length."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess, wait_until
from tests.serving import ServerProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder, "--heartbeat", "0.05") as process:
        yield process


def _fleet(server: ServerProcess) -> list[str]:
    return [worker["name"] for worker in server.call("GET", "/workers")["items"]]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, None], ids=str)
def test_a_worker_that_leaves_is_off_the_list(
    server: ServerProcess, tmp_path: Path, how: signal.Signals | None
) -> None:
    idle: dict[str, Any] = {"until_idle": 1.0} if how is None else {}
    with WorkerProcess(tmp_path, server.url, server.token, name="leaver", **idle) as worker:
        wait_until(lambda: _fleet(server) == ["leaver"], "the worker is there")
        if how is not None:
            worker.process.send_signal(how)
        assert worker.wait() == 0
    assert _fleet(server) == []


def test_a_worker_that_is_killed_stays_on_the_list(server: ServerProcess, tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, server.url, server.token, name="victim") as worker:
        wait_until(lambda: _fleet(server) == ["victim"], "the worker is there")
        worker.process.kill()
        worker.wait()
    assert _fleet(server) == ["victim"]
    header, row = server.run("workers").stdout.splitlines()
    assert header.split()[:3] == ["ID", "NAME", "HOST"]
    assert row.split()[1] == "victim"
