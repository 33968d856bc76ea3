"""Files that nothing names: left by a crash between upload and registration, or by a late writer.

They are deleted in the background, some time after they were written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial

from api.files.mark import is_ours
from api.services import Services
from storage.stores import FolderStore, Stat, Store
from storage.unnamed import unnamed
from tuner.errors import TunerError

OLD = timedelta(hours=24)
"""A file that was written so long ago is on its way no more."""
FIRST_S = 60.0
EVERY_S = 12 * 3600.0
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
    """Delete files that nothing names and that are old; return their keys.

    Raises:
        StorageFull, Unavailable: the store or the database does not answer.
    """
    if not await is_ours(services):
        return []
    before = services.clock() - old
    return [key for store in stores(services) for key in await _swept(services, store, before)]


def stores(services: Services) -> list[Store]:
    """Return where files of trials lie: their store, and the folder of logs if it is elsewhere."""
    settings = services.settings
    elsewhere = [FolderStore(settings.artifact_dir)] if settings.artifact_url else []
    return [services.store, *elsewhere]


async def _swept(services: Services, store: Store, before: datetime) -> list[str]:
    suspects = await asyncio.to_thread(lambda: list(_aged(store, before)))
    if not suspects:
        return []
    # Read after the listing: what was registered meanwhile is named.
    gone = await services.ledger.read(partial(unnamed, keys=suspects))
    for key in gone:
        await asyncio.to_thread(store.delete, key)
    if gone:
        _log.info("deleted %d files that no trial names from %s", len(gone), store.name)
    return gone


def _aged(store: Store, before: datetime) -> Iterator[str]:
    for found in store.listing():
        if found.modified < before and _made_here(found):
            yield found.key


def _made_here(found: Stat) -> bool:
    """Tell whether a key looks as if this program made it: `STUDY/...`, or a part."""
    first = found.key.partition("/")[0]
    return first.isdecimal() or first == ".parts"
