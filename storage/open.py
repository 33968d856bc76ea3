"""Opening a database: from a URL to a running ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from storage.ledger import Ledger
from storage.sql_store import SqlStore
from storage.store import Store


def open_ledger(url: str) -> AbstractAsyncContextManager[Ledger]:
    """Own a database and yield its ledger; on leaving, commit what was handed in and let go.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/DATABASE`.

    Raises:
        InvalidInput: the URL names no database we can use.
        OwnerLost: another server owns it.
        SchemaMismatch: its tables are those of another version.
        Unavailable: it does not answer.
    """
    return run_ledger(lambda: SqlStore(url))


@asynccontextmanager
async def run_ledger(
    make_store: Callable[[], Store], executor: Executor | None = None
) -> AsyncIterator[Ledger]:
    """Yield a ledger over the store that `make_store` opens.

    All that blocks runs in `executor`, one call at a time; by default in a thread of its own.
    """
    loop = asyncio.get_running_loop()
    executor = executor or ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
    try:
        store = await loop.run_in_executor(executor, make_store)
        try:
            memory = await loop.run_in_executor(executor, store.load)
        except BaseException:
            await loop.run_in_executor(executor, store.close)
            raise
        ledger = Ledger(store, memory, executor)
        try:
            yield ledger
        finally:
            await ledger.close()
    finally:
        executor.shutdown(wait=False)
