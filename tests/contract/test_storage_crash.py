"""Crashes: a killed owner, and a connection that breaks in the commit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Self

import pytest
from sqlalchemy import create_engine, insert, text

from storage import Ledger, Transaction, open_ledger
from storage.engine import database_url
from storage.epoch import check
from storage.sql_store import SqlStore
from storage.tables import workers
from tests.contract.ledger_history import canonical, spec
from tuner.errors import Unavailable

NOW = datetime(2026, 3, 1, tzinfo=UTC)
_WRITER = """
import asyncio, sys
from storage import open_ledger
from tests.contract.test_storage_crash import write_and_tell
asyncio.run(write_and_tell(sys.argv[1]))
"""


async def write_and_tell(url: str) -> None:
    """Write studies from many tasks until killed; print each name once it is acknowledged."""
    async with open_ledger(url) as ledger:
        known = len(ledger.memory.studies())
        await asyncio.gather(*(_write_forever(ledger, f"{known}-{i}") for i in range(20)))


async def _write_forever(ledger: Ledger, prefix: str) -> None:
    for i in range(10**9):
        name = f"{prefix}-{i}"
        await ledger.write(partial(_new_study, name=name))
        sys.stdout.write(name + "\n")
        sys.stdout.flush()


def _new_study(tx: Transaction, name: str) -> int:
    return tx.new_study(name, spec(), "me", NOW).study_id


def test_an_acknowledged_write_survives_a_kill(url: str) -> None:
    acknowledged: set[str] = set()
    for kill in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, url],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        with writer.stdout as told:
            for _ in range(50 + 37 * kill):
                acknowledged.add(told.readline().strip())
            writer.send_signal(signal.SIGKILL)
            acknowledged |= {line.strip() for line in told if line.endswith("\n")}
        assert writer.wait() == -signal.SIGKILL
    assert "" not in acknowledged
    assert acknowledged <= asyncio.run(_names(url))


async def _names(url: str) -> set[str]:
    async with open_ledger(url) as ledger:
        return {s.name for s in ledger.memory.studies()}


class CommitCutter:
    """A TCP proxy before PostgreSQL that cuts a connection at its next COMMIT."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.armed = False
        self.forwards = False
        """Whether the COMMIT still reaches the server."""
        self.stays_down = False
        """Whether no connection is taken after a cut."""
        self.down = False
        self.cuts = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if self.down:
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(self._pump(up_reader, writer))
        try:
            await self._requests(reader, up_reader, up_writer, back)
        finally:
            back.cancel()
            for end in (writer, up_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
        back: asyncio.Task[None],
    ) -> None:
        while data := await reader.read(65536):
            if self.armed and b"COMMIT" in data:
                self.armed, self.cuts, self.down = False, self.cuts + 1, self.stays_down
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                if self.forwards:
                    up_writer.write(data)
                    await up_writer.drain()
                    await up_reader.read(65536)
                return
            up_writer.write(data)
            await up_writer.drain()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.mark.parametrize("forwards", [True, False], ids=["stored", "not-stored"])
def test_memory_is_read_again_when_the_commits_outcome_is_unknown(
    postgres_url: str, forwards: bool
) -> None:
    async def run() -> None:
        direct = database_url(postgres_url)
        async with CommitCutter(str(direct.host), direct.port or 5432) as proxy:
            proxied = direct.set(host="127.0.0.1", port=proxy.port)
            url = proxied.render_as_string(hide_password=False)
            async with open_ledger(url) as ledger:
                heard: list[bool] = []
                ledger.subscribe(lambda news: heard.append(news.reloaded))
                await ledger.write(partial(_new_study, name="before"))
                proxy.forwards, proxy.armed = forwards, True
                with pytest.raises(Unavailable):
                    await ledger.write(partial(_new_study, name="unknown"))
                assert proxy.cuts == 1
                await ledger.write(partial(_new_study, name="after"))
                assert heard == [False, True, False]
                found.append(canonical(ledger.memory))
                names.extend(s.name for s in ledger.memory.studies())
        async with open_ledger(postgres_url) as ledger:
            found.append(canonical(ledger.memory))

    found: list[str] = []
    names: list[str] = []
    asyncio.run(run())
    assert names == (["before", "unknown", "after"] if forwards else ["before", "after"])
    assert found[0] == found[1]


def test_nothing_is_decided_before_memory_could_be_read_again(postgres_url: str) -> None:
    async def run() -> None:
        direct = database_url(postgres_url)
        async with CommitCutter(str(direct.host), direct.port or 5432) as proxy:
            proxied = direct.set(host="127.0.0.1", port=proxy.port)
            async with open_ledger(proxied.render_as_string(hide_password=False)) as ledger:
                proxy.forwards = proxy.armed = proxy.stays_down = True
                with pytest.raises(Unavailable):
                    await ledger.write(partial(_new_study, name="unknown"))
                with pytest.raises(Unavailable):
                    await ledger.write(partial(_new_study, name="while away"))
                assert ledger.memory.studies() == ()
                proxy.down = False
                await ledger.write(partial(_new_study, name="after"))
                assert [s.name for s in ledger.memory.studies()] == ["unknown", "after"]

    asyncio.run(run())


def test_loading_waits_for_a_commit_of_ours_that_is_still_under_way(postgres_url: str) -> None:
    engine = create_engine(database_url(postgres_url))
    store = SqlStore(postgres_url)
    waits = text(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tuner'"
        " AND wait_event_type = 'Lock' AND datname = current_database()"
    )
    try:
        with ThreadPoolExecutor() as pool, engine.connect() as lost, engine.connect() as watch:
            check(lost, 1)
            lost.execute(
                insert(workers).values(
                    worker_id="w", name="n", host="h", slots=1, gpus="[]", labels="{}",
                    allow="[]", tasks="[]", registered_at=datetime(2026, 3, 1),
                    seen_at=datetime(2026, 3, 1),
                )
            )  # fmt: skip
            loading = pool.submit(store.load)
            while not watch.execute(waits).scalar():
                assert not loading.done()
                watch.rollback()
            lost.commit()
            assert [w.worker_id for w in loading.result().workers()] == ["w"]
    finally:
        store.close()
        engine.dispose()
