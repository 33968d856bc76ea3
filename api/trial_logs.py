"""What trials print: taken in from who holds them, kept in bounds, shown and followed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from api.fence import Place, lease_of, place_of
from api.log_files import LogFile, Part, drop_old
from api.problems import problem_of
from storage import queries
from storage.changes import Committed
from tuner.access import Identity, Role
from tuner.errors import (
    NotAllowed,
    NotAuthenticated,
    NotFound,
    StaleAttempt,
    StorageFull,
    TunerError,
)
from tuner.study import Study
from tuner.terminal import plain
from tuner.trial import Trial, TrialState
from tuner.wire import LogItem, LogResult, LogResults

if TYPE_CHECKING:
    from api.services import Services

LATE_S = 60.0
"""Seconds after an attempt's end in which its last output is still taken."""
_QUIET = timedelta(seconds=3)
"""Seconds after an attempt's end in which a reader waits for the output of one not heard of."""
_LOOK_S = 10.0
_MOST_OPEN = 20_000
_STAMP = len("2026-01-05T09:00:00.000Z ")


@dataclass(kw_only=True)
class OpenLog:
    """A log that output comes for. `token` is the lease's; empty where only readers were.

    `until` is when, in seconds of the server's monotonic clock, no output is expected any more.
    """

    file: LogFile
    token: str = ""
    token_id: str | None = None
    until: float | None = None
    news: list[asyncio.Event] = field(default_factory=list)


class Excerpt(NamedTuple):
    """What a reader gets: text from `start` on, where the next begins, whether that was all."""

    attempt: int
    text: bytes
    next: int
    is_all: bool


class Open:
    """The logs that are written or followed now. Nothing of it is stored."""

    def __init__(self) -> None:
        self.by_place: dict[Place, OpenLog] = {}

    def log(self, services: Services, place: Place, lease: str) -> OpenLog:
        """Return the log of an attempt, and of its lease."""
        found = self.by_place.get(place)
        if found is None:
            if len(self.by_place) >= _MOST_OPEN:
                self._forget(services.monotonic())
            folder = services.settings.artifact_dir / str(place.study_id) / str(place.number)
            most = services.settings.limits.log_bytes
            found = OpenLog(file=LogFile(folder, place.attempt, lease, most=most))
            self.by_place[place] = found
        return found

    def _forget(self, now: float) -> None:
        kept = {p: one for p, one in self.by_place.items() if one.news or (one.until or 0.0) > now}
        self.by_place = kept


async def store(services: Services, items: Iterable[LogItem], who: Identity) -> LogResults:
    """Take lines in; each item is answered by itself."""
    return LogResults(results=[await _store(services, item, who) for item in items])


async def _store(services: Services, item: LogItem, who: Identity) -> LogResult:
    try:
        place, log = await _writable(services, item, who)
        lines = _stamped(services, item)
        folder = services.settings.artifact_dir / str(place.study_id) / str(place.number)
        if item.first == 0:
            await asyncio.to_thread(drop_old, folder, place.attempt)
        following = await asyncio.to_thread(log.file.append, item.first, lines)
    except TunerError as exc:
        return LogResult(problem=problem_of(exc))
    except OSError:
        full = StorageFull("the log could not be written", retry_after=1)
        return LogResult(problem=problem_of(full))
    log.until = services.monotonic() + (0.0 if item.last else LATE_S)
    for event in log.news:
        event.set()
    return LogResult(next=following)


def _stamped(services: Services, item: LogItem) -> list[str]:
    now = services.clock()
    return [
        f"{_stamp(now - timedelta(seconds=min(line.age_s, 1e6)))}{plain(line.text)}"
        for line in item.lines
    ]


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z "


async def _writable(services: Services, item: LogItem, who: Identity) -> tuple[Place, OpenLog]:
    """Return the log that a lease writes, for a while after its end, too.

    Raises:
        NotAllowed: the lease was given to another access token.
        StaleAttempt: the lease is void for longer, or was never given.
    """
    place = place_of(item.lease)
    if place is None or place.attempt != item.attempt:
        raise StaleAttempt("there is no such lease, or it is another attempt's")
    memory = services.ledger.memory
    try:
        lease = lease_of(memory, item.lease, who)
    except StaleAttempt:
        log = await _ended(services, place, item.lease)
    else:
        log = services.logs.log(services, place, lease.token)
        log.token, log.token_id = lease.token, lease.token_id
    if log.token_id != who.token_id and who.role is not Role.ADMIN:
        raise NotAllowed("the lease was given to another token")
    return place, log


async def _ended(services: Services, place: Place, token: str) -> OpenLog:
    """Return the log of an attempt that ended a short while ago. Raises StaleAttempt."""
    void = StaleAttempt("the attempt has ended, and so has the time for its last output")
    try:
        services.ledger.memory.trial(place.study_id, place.number)
    except NotFound:
        raise void from None
    log = services.logs.by_place.get(place)
    if log is not None and log.token == token and services.monotonic() <= (log.until or 0.0):
        return log
    found = await queries.attempt_of(services.ledger, token)
    if found is None:
        raise void
    record, token_id = found
    now = services.clock()
    if record.ended_at is not None and now - record.ended_at > timedelta(seconds=LATE_S):
        raise void
    log = services.logs.log(services, place, token)
    log.token, log.token_id = token, token_id
    return log


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a reader wants: `attempt` None is the latest; up to `wait_s` seconds for more text."""

    attempt: int | None
    offset: int
    times: bool
    wait_s: float
    is_gone: Callable[[], Awaitable[bool]]
    is_valid: Callable[[], bool]


async def read(
    services: Services, study: Study, number: int, asked: Asked, who: Identity
) -> Excerpt:
    """Return what an attempt printed, from a place on.

    Raises:
        NotAuthenticated: the token was revoked, or expired, in the meantime.
        NotFound: there is no such trial or attempt.
    """
    memory = services.ledger.memory
    trial = memory.trial(study.study_id, number)
    attempt = trial.attempt if asked.attempt is None else asked.attempt
    if attempt > trial.attempt:
        raise NotFound(f"the trial has had {trial.attempt} attempts")
    place = Place(study.study_id, number, attempt)
    log, news = services.logs.by_place.get(place), asyncio.Event()
    if log is None:
        lease = await queries.lease_of(services.ledger, *place)
        log = services.logs.log(services, place, lease)
    log.news.append(news)
    unsubscribe = services.ledger.subscribe(
        lambda commit: news.set() if _is_about(commit, place) else None
    )
    end = asyncio.get_running_loop().time() + asked.wait_s
    try:
        with services.polls.take(who.token_id) if asked.wait_s > 0 else nullcontext():
            while True:
                news.clear()
                if not asked.is_valid():
                    raise NotAuthenticated("the token was revoked, or has expired")
                ends_in = _ends_in(services, memory.trial(study.study_id, number), place, log)
                parts, following = await asyncio.to_thread(log.file.read, asked.offset)
                left = end - asyncio.get_running_loop().time()
                if parts or ends_in <= 0 or left <= 0 or services.closing.is_set():
                    text = _shown(parts, times=asked.times)
                    return Excerpt(attempt, text, following, ends_in <= 0)
                if await asked.is_gone():
                    return Excerpt(attempt, b"", following, False)
                await _wait(services, news, min(left, ends_in, _LOOK_S))
    finally:
        unsubscribe()
        log.news.remove(news)


def _is_about(commit: Committed, place: Place) -> bool:
    return commit.reloaded or any(
        (trial.study_id, trial.number) == place[:2] for trial in commit.trials
    )


def _ends_in(services: Services, trial: Trial, place: Place, log: OpenLog) -> float:
    """Return in how many seconds nothing more can come for a log; for ever while it runs."""
    if trial.state is TrialState.RUNNING and trial.attempt == place.attempt:
        return math.inf
    if trial.attempt != place.attempt and not log.token:
        return 0.0
    if not place.attempt:
        return math.inf if trial.state is not TrialState.ENDED else 0.0
    now = services.monotonic()
    if log.until is None:
        old = trial.ended_at is not None and services.clock() - trial.ended_at > _QUIET
        log.until = now if old else now + _QUIET.total_seconds()
    return max(0.0, log.until - now)


async def _wait(services: Services, news: asyncio.Event, seconds: float) -> None:
    waits = {asyncio.create_task(e.wait()) for e in (news, services.closing)}
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waits:
            task.cancel()


def _shown(parts: Sequence[Part], *, times: bool) -> bytes:
    shown = []
    for left_out, text in parts:
        if left_out:
            shown.append(b"... %d bytes are no longer kept ...\n" % left_out)
        shown.append(text if times else _bare(text))
    return b"".join(shown)


def _bare(text: bytes) -> bytes:
    """Return lines without the time that stands before each."""
    return b"".join(line[_STAMP:] for line in text.splitlines(keepends=True))
