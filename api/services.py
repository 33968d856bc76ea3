"""What the routes work with: one value, made when the application starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from api.observe.metrics import Metrics
from api.settings import Settings

if TYPE_CHECKING:
    from api.daytime import DayTime
    from api.deadlines import Deadlines
    from api.search import Search
    from storage.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Services:
    """The running parts of one server.

    Args:
        clock: gives the time of day, aware and in UTC; for what is stored.
        monotonic: gives seconds that never jump; for deadlines.
        closing: set when the server begins to stop; long polls end then.
        keys_in_flight: Idempotency-Keys of requests that are being answered.
    """

    settings: Settings
    ledger: Ledger
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    search: Search
    deadlines: Deadlines
    day: DayTime
    metrics: Metrics = field(default_factory=Metrics)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    keys_in_flight: set[str] = field(default_factory=set)
