"""What the routes work with: one value, made when the application starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from api.observe.metrics import Metrics
from api.sessions import Sessions
from api.settings import Settings
from api.throttle import Throttle

if TYPE_CHECKING:
    from api.daytime import DayTime
    from api.deadlines import Deadlines
    from api.files.locks import TrialLocks
    from api.limits.places import Places
    from api.live.hub import Hub
    from api.search import Search
    from api.webhooks.network import Network
    from storage.ledger import Ledger
    from storage.stores import Store


@dataclass(frozen=True, kw_only=True)
class Services:
    """The running parts of one server.

    Args:
        clock: gives the time of day, aware and in UTC; for what is stored.
        monotonic: gives seconds that never jump; for deadlines.
        network: the way out to webhooks' receivers.
        closing: set when the server begins to stop; long polls end then.
        sessions: of browsers that logged in.
        throttle: slows wrong tokens down.
        hub: tells event streams what is committed.
        store: where files of trials lie.
        locks: one at a time counts files of a trial.
        streams: places for event streams.
        polls: places for long polls.
        keys_in_flight: Idempotency-Keys of requests that are being answered.
    """

    settings: Settings
    ledger: Ledger
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    search: Search
    deadlines: Deadlines
    day: DayTime
    sessions: Sessions
    throttle: Throttle
    hub: Hub
    store: Store
    locks: TrialLocks
    streams: Places
    polls: Places
    network: Network
    metrics: Metrics = field(default_factory=Metrics)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    keys_in_flight: set[str] = field(default_factory=set)
