"""Files that no row names: left by a crash between upload and registration, or by a late writer.

They are deleted in the background, some time after they were written. A store is marked with an id
that its database knows; a store of another database, or of a restored copy, is left alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta

from api.services import Services
from storage.artifact_rows import all_paths, read_marks
from storage.place import flush
from storage.stores import Stat, Store
from tuner.errors import NotFound, TunerError

OLD = timedelta(hours=24)
"""A file that was written so long ago is on its way no more."""
FIRST_S = 60.0
EVERY_S = 12 * 3600.0
MARK = "tuner-store.txt"
"""The file at the root of a store that holds its database's id."""
_log = logging.getLogger(__name__)


@asynccontextmanager
async def running(services: Services) -> AsyncIterator[None]:
    """Sweep in the background for as long as the context is open."""
    task = asyncio.create_task(_run(services), name="orphans")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _run(services: Services) -> None:
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            await sweep(services)
        except TunerError as exc:
            _log.warning("the artifact store was not swept: %s", exc.detail)
        except Exception:
            _log.exception("the artifact store was not swept")
        await asyncio.sleep(EVERY_S)


async def sweep(services: Services, *, old: timedelta = OLD) -> list[str]:
    """Delete files that no row names and that are old; return their keys.

    Raises:
        StorageFull, Unavailable: the store or the database does not answer.
    """
    if not await is_ours(services):
        return []
    before = services.clock() - old
    suspects = await asyncio.to_thread(lambda: list(_aged(services.store, before)))
    if not suspects:
        return []
    # Read after the listing: what was registered meanwhile is named.
    named = set(await services.ledger.read(lambda connection: list(all_paths(connection))))
    gone = [key for key in suspects if key not in named]
    for key in gone:
        await asyncio.to_thread(services.store.delete, key)
    if gone:
        _log.info("deleted %d files that no trial names from %s", len(gone), services.store.name)
    return gone


def _aged(store: Store, before: datetime) -> Iterator[str]:
    for found in store.listing():
        if found.modified < before and _is_ours(found):
            yield found.key


def _is_ours(found: Stat) -> bool:
    """Tell whether a key looks as if this program made it: `STUDY/...`, or a part."""
    first = found.key.partition("/")[0]
    return first.isdecimal() or first == ".parts"


async def is_ours(services: Services) -> bool:
    """Tell whether the store belongs to this database; a store without a mark is marked.

    Nothing is deleted in one that does not: `services.foreign_store` is set.

    Raises:
        StorageFull, Unavailable: the store or the database does not answer.
    """
    store = services.store
    there = await asyncio.to_thread(_read, store)
    if there is None:
        mark = secrets.token_hex(16)
        await services.ledger.write(lambda tx: tx.put_mark(mark, store.name))
        await asyncio.to_thread(_mark, store, mark)
        services.foreign_store.clear()
        return True
    if there in await services.ledger.read(read_marks):
        services.foreign_store.clear()
        return True
    services.foreign_store.set()
    _log.warning(
        "%s belongs to another database: nothing is deleted there, and what is kept there for "
        "this one may be deleted by the other's server. Give this one a store of its own by "
        "--artifacts; if it alone uses the store, remove %s there",
        store.name,
        MARK,
    )
    return False


async def claim(services: Services) -> None:
    """Mark the store before anything is deleted there; one that does not answer is asked later."""
    services.foreign_store.set()
    try:
        await is_ours(services)
    except (TunerError, OSError) as exc:
        _log.warning("the artifact store could not be marked: %s", exc)


def _read(store: Store) -> str | None:
    try:
        with store.open(MARK) as file:
            return file.read(100).decode("ascii", "replace").strip() or None
    except NotFound:
        return None


def _mark(store: Store, mark: str) -> None:
    part = store.part(MARK)
    try:
        part.write_text(f"{mark}\n")
        flush(part)
        store.take(part, MARK)
    finally:
        part.unlink(missing_ok=True)
