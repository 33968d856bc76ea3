"""The mark of a store: an id that its database knows, so that no two servers tidy one store.

A store of another database, or of a restored copy, is left alone. One that has lost its mark with
all of its files is taken for a disk that is not mounted.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from itertools import islice

from sqlalchemy import Connection

from api.services import Services
from storage.artifact_rows import all_paths, read_marks
from storage.place import flush
from storage.stores import Store
from tuner.errors import NotFound, TunerError, Unavailable

MARK = "tuner-store.txt"
"""The file at the root of a store that holds its database's id."""
_LOOKS = 16
"""Files that are looked for before a store counts as empty: each costs a round trip."""
_log = logging.getLogger(__name__)


class NotMounted(Unavailable):
    """The store holds neither this database's mark nor any of the files it names."""


async def claim(services: Services) -> None:
    """Mark the store before anything is deleted there; one that can't be marked is asked later.

    Raises:
        NotMounted: the store is empty of all that this database kept in one.
    """
    services.foreign_store.set()
    try:
        await is_ours(services)
    except NotMounted:
        raise
    except (TunerError, OSError) as exc:
        _log.warning("the artifact store could not be marked: %s", exc)


async def is_ours(services: Services) -> bool:
    """Tell whether the store belongs to this database; a store without a mark is marked.

    Nothing is deleted in one that does not: `services.foreign_store` is set.

    Raises:
        NotMounted: see `claim`; nothing is deleted there until it is back.
        OSError: the mark could not be written.
        StorageFull, Unavailable: the store or the database does not answer.
    """
    store = services.store
    there = await asyncio.to_thread(_read, store)
    if there is None:
        await _require_mounted(services)
        mark = secrets.token_hex(16)
        await services.ledger.write(lambda tx: tx.put_mark(mark, store.name))
        await asyncio.to_thread(_write, store, mark)
        there = await asyncio.to_thread(_read, store)
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


async def _require_mounted(services: Services) -> None:
    """Raise NotMounted if a database that once marked a store finds none of its files here."""
    store = services.store
    mark, paths = await services.ledger.read(_left)
    if mark is None or not paths:
        return
    sizes = [await asyncio.to_thread(store.size, path) for path in paths]
    if any(size is not None for size in sizes):
        return
    services.foreign_store.set()
    raise NotMounted(
        f"{store.name} holds none of the files that this database names: is its disk mounted, and "
        f"is it the right place? If they are lost for good, write {mark} into {MARK} there; trials "
        "then begin anew"
    )


def _left(connection: Connection) -> tuple[str | None, list[str]]:
    """Return a mark that this database knows, and some files that it names."""
    return min(read_marks(connection), default=None), list(islice(all_paths(connection), _LOOKS))


def _read(store: Store) -> str | None:
    try:
        with store.open(MARK) as file:
            return file.read(100).decode("ascii", "replace").strip() or None
    except NotFound:
        if store.size(MARK) is not None:
            raise Unavailable(f"{MARK} can't be read") from None
        return None


def _write(store: Store, mark: str) -> None:
    part = store.part(MARK)
    try:
        part.write_text(f"{mark}\n")
        flush(part)
        store.take(part, MARK)
    finally:
        part.unlink(missing_ok=True)
