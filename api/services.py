"""What the routes work with: one value, made when the application starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from api.charts.band import Bands
from api.charts.importance import Importances
from api.cordons import Cordons
from api.known_parts import KnownParts
from api.observe.metrics import Metrics
from api.sessions import Sessions
from api.settings import Settings
from api.throttle import Throttle
from api.trial_logs import Open
from api.troubles import Troubles

if TYPE_CHECKING:
    from api.daytime import DayTime
    from api.deadlines import Deadlines
    from api.drains import Drains
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
        drains: which workers keep GPUs free.
        network: the way out to webhooks' receivers.
        closing: set when the server begins to stop; long polls end then.
        sessions: of browsers that logged in.
        throttle: slows wrong tokens down.
        hub: tells event streams what is committed.
        store: where files of trials lie.
        foreign_store: set where it is another database's; nothing is deleted there then.
        locks: one at a time counts files of a trial.
        streams: places for event streams.
        polls: places for long polls.
        logs: logs of trials that are written or followed now.
        troubles: why workers are out of service.
        cordons: which workers people drained.
        parts: stored parts of environments.
        bands: what charts of many trials were counted from; `charting` is held meanwhile.
        importances: which parameters of studies matter.
        keys_in_flight: Idempotency-Keys of requests that are being answered.
    """

    settings: Settings
    ledger: Ledger
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    search: Search
    deadlines: Deadlines
    drains: Drains
    day: DayTime
    sessions: Sessions
    throttle: Throttle
    hub: Hub
    store: Store
    locks: TrialLocks
    streams: Places
    polls: Places
    network: Network
    foreign_store: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    logs: Open = field(default_factory=Open)
    troubles: Troubles = field(default_factory=Troubles)
    cordons: Cordons = field(default_factory=Cordons)
    bands: Bands = field(default_factory=Bands)
    charting: asyncio.Lock = field(default_factory=asyncio.Lock)
    importances: Importances = field(default_factory=Importances)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    parts: KnownParts = field(default_factory=KnownParts)
    keys_in_flight: set[str] = field(default_factory=set)
