"""Whether a server takes work now, and if not, why."""

from __future__ import annotations

import asyncio

from api.services import Services
from tuner.errors import TunerError, Unavailable

DATABASE_S = 5.0
"""How long the database may take to answer."""
RETRY_AFTER_S = 5


async def check(services: Services) -> None:
    """Return if work is taken.

    Raises:
        Unavailable: it is not; `extra["reasons"]` says why.
    """
    ledger, reasons = services.ledger, []
    if services.closing.is_set():
        reasons.append("the server is stopping")
    if ledger.is_overloaded:
        reasons.append("the server is overloaded")
    if ledger.lost is not None:
        reasons.append("another server took over the database")
    elif not await _answers(services):
        reasons.append("the database does not answer")
    if reasons:
        raise Unavailable("; ".join(reasons), reasons=reasons, retry_after=RETRY_AFTER_S)


async def _answers(services: Services) -> bool:
    try:
        async with asyncio.timeout(DATABASE_S):
            await services.ledger.ping()
    except (TunerError, TimeoutError):
        return False
    return True
