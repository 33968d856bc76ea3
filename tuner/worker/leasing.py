"""Leases trials for free slots, and knows when there has been nothing to do for long enough."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Collection, Sequence

from tuner.errors import NotAllowed, NotAuthenticated, NotFound, TunerError
from tuner.packing import Spot
from tuner.wire import (
    AcquireLeases,
    Free,
    LeaseGrant,
    Leases,
    Registered,
    RegisterWorker,
    ReleaseTrial,
    StudyShare,
)
from tuner.worker.attempt import Attempt
from tuner.worker.endings import Ending
from tuner.worker.gpus import Gpu, visible
from tuner.worker.packer import Ask, Packer
from tuner.worker.program import read_program
from tuner.worker.slots import Slot
from tuner.worker.tools import Tools

EXIT_OK, EXIT_FAILURE, EXIT_NOT_ALLOWED, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 0, 1, 4, 5, 130
EXIT_OUT_OF_SERVICE = 7

_LOG = logging.getLogger("tuner.worker")
_SHORTEST_S = 0.5
"""Between two answers that hold nothing, so that a server that does not wait is not flooded."""

_PLACED_WAIT_S = 2.0
"""How long a request for leases is held at most while trials run that named their GPUs."""

_SIGN_OFF_S = 2.0


class Leasing:
    """Keeps one request for leases open whenever a slot is free.

    Args:
        about: what the server is told of this worker.
        attempts: the trials under way; with any, the worker is not idle.
        on_end: called with an exit code when the worker should leave.
        gpus: the worker's GPUs, as it told the server.
        memory: of the smallest of them, in bytes; None if unknown.
    """

    def __init__(
        self,
        tools: Tools,
        slots: Sequence[Slot],
        about: RegisterWorker,
        *,
        attempts: Collection[Attempt],
        on_end: Callable[[int], None],
        gpus: Sequence[Gpu] = (),
        memory: int | None = None,
    ) -> None:
        self._registered: asyncio.Future[Registered] = asyncio.get_running_loop().create_future()
        self.freed = asyncio.Event()
        self.quiet = asyncio.Event()
        self.quiet.set()
        self._stopping = False
        self._tools = tools
        self._slots = slots
        self._about = about
        self._attempts = attempts
        self._on_end = on_end
        self._gpus = gpus
        self._packer = Packer(slots=len(slots), gpus=len(gpus), memory=memory)
        self._busy_at = time.monotonic()
        self._trouble = ""
        self._releases: set[asyncio.Task[None]] = set()

    def busy(self) -> None:
        """Note that there was work until now."""
        self._busy_at = time.monotonic()

    async def known(self) -> Registered:
        """Return how the server knows this worker, once it does."""
        return await asyncio.shield(self._registered)

    async def sign_off(self) -> None:
        """Tell the server that this worker is gone, as far as it can be told."""
        link = self._tools.link
        if self._registered.done() and not link.away:
            worker_id = self._registered.result().worker_id
            with contextlib.suppress(TunerError):
                await self._tools.api.sign_off(worker_id, _SIGN_OFF_S)

    async def run(self) -> None:
        """Register, then lease until stopped, idle for long enough, or cancelled."""
        await self.register()
        while not self._stopping:
            self._packer = self._packer.keep({s.lease for s in self._slots if s.lease is not None})
            free = sum(slot.free for slot in self._slots)
            if not free:
                self.freed.clear()
                await self.freed.wait()
                continue
            free = self._allowed(free)
            if not free:
                await asyncio.sleep(_SHORTEST_S)
                continue
            began = time.monotonic()
            self.quiet.clear()
            try:
                leases = (await self._acquire(free)).leases
                for grant in leases:
                    self._assign(grant)
            finally:
                self.quiet.set()
            if leases:
                self.busy()
            elif self._end_if_idle():
                return
            else:
                least = min(_SHORTEST_S, self._wait())
                await asyncio.sleep(max(0.0, least - (time.monotonic() - began)))

    async def stop(self) -> None:
        """Lease no more.

        The server may already be answering an open request, and would go on to answer one that was
        dropped; so it is waited for, and what it brings is given back.
        """
        self._stopping = True
        config = self._tools.config
        if not self._tools.link.away:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.quiet.wait(), config.wait + config.request_timeout)
        if self._releases:
            await asyncio.wait(self._releases, timeout=config.request_timeout)
        self.quiet.set()

    async def register(self) -> None:
        """Tell the server of this worker; wait for ever if it is refused."""
        try:
            registered = await self._tools.api.register(self._about)
        except TunerError as exc:
            self._on_end(refused(exc))
            await asyncio.Event().wait()
            raise
        if self._registered.done():
            self._registered = asyncio.get_running_loop().create_future()
        self._registered.set_result(registered)
        self.busy()
        config = self._tools.config
        _LOG.info("%s works for %s, slots: %d", config.name, config.url, config.slots)

    async def _acquire(self, n: int) -> Leases:
        worker_id = (await self.known()).worker_id
        avoid, free = self._tools.conduct.avoided(), self._free()
        ask = AcquireLeases(worker_id=worker_id, n=n, wait_s=self._wait(), avoid=avoid, free=free)
        try:
            leases = await self._tools.api.acquire(ask)
        except NotFound:
            await self.register()
        except (NotAuthenticated, NotAllowed) as exc:
            self._on_end(refused(exc))
        except TunerError as exc:
            if exc.detail != self._trouble:
                _LOG.warning("no trials could be leased: %s; asking on", exc.detail)
            self._trouble = exc.detail
            await asyncio.sleep(1.0)
        else:
            self._trouble = ""
            return leases
        return Leases(leases=[])

    def _free(self) -> Free:
        room, shares = self._packer.room, self._packer.shares
        return Free(
            gpus=list(room.free),
            homes=[spot.home for spot in room.homes if spot.home is not None],
            shares=[StudyShare(study_id=key, share=share) for key, share in shares.items()],
        )

    def _wait(self) -> float:
        config = self._tools.config
        wait = config.wait if config.until_idle is None else min(config.wait, config.until_idle)
        # What a trial gives back of its GPUs is told with the next request only.
        placed = any(one.ask.need for one in self._packer.running)
        return min(wait, _PLACED_WAIT_S) if placed else wait

    def _allowed(self, free: int) -> int:
        """Return how many trials to ask for; one that does not stay ends out of service."""
        conduct = self._tools.conduct
        idle = free == len(self._slots) and not self._attempts
        if conduct.trouble and idle and self._tools.config.until_idle is not None:
            self._on_end(EXIT_OUT_OF_SERVICE)
            return 0
        return conduct.allowed(free, idle=idle)

    def _assign(self, grant: LeaseGrant) -> None:
        """Give a lease to the slot whose child is warm for it, else to a fresh one, else to any."""
        free = [slot for slot in self._slots if slot.free]
        placed = self._place(grant, free) if free and not self._stopping else None
        if placed is None:
            task = asyncio.create_task(self._release(grant))
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)
            return
        slot, devices = placed
        slot.give(grant, devices)

    def _place(self, grant: LeaseGrant, free: Sequence[Slot]) -> tuple[Slot, str | None] | None:
        """Return a slot and what its trial sees of the GPUs, None if there is no room for it."""
        program = read_program(grant.run)
        asked = self._tools.config.gpus
        warmth = program.warmth if program is not None else None

        def rank(slot: Slot, devices: str | None) -> int:
            if slot.devices != devices:
                return 3
            return 0 if slot.warmth == warmth else 1 if slot.warmth is None else 2

        def best(spot: Spot) -> int:
            devices = visible(asked, self._gpus, spot)
            return min(rank(slot, devices) for slot in free)

        need = program.gpus if program is not None else None
        ask = Ask(grant.lease, grant.study_id, need, grant.share)
        found = self._packer.place(ask, best)
        if found is None:
            return None
        self._packer, spot = found
        devices = visible(asked, self._gpus, spot)
        return min(free, key=lambda slot: rank(slot, devices)), devices

    def judge(self, attempt: Attempt, ending: Ending) -> Ending:
        """Learn from how a trial ended; return the ending as it is to be told.

        One that ran out of its GPU's memory beside others is tried again with more room.
        """
        lease = attempt.grant.lease
        self._packer = self._packer.measured(lease, attempt.peak(ending))
        if not ending.gpu_full:
            return ending
        self._packer, share = self._packer.ran_out(lease)
        return dataclasses.replace(ending, share=share)

    async def _release(self, grant: LeaseGrant) -> None:
        body = ReleaseTrial(attempt=grant.attempt, reason="the worker is full or leaves")
        with contextlib.suppress(TunerError):
            await self._tools.batcher.release(grant.lease, body)

    def _end_if_idle(self) -> bool:
        until = self._tools.config.until_idle
        if until is None or self._attempts or time.monotonic() - self._busy_at < until:
            return False
        _LOG.info("nothing to do for %g s", until)
        self._on_end(EXIT_FAILURE if self._trouble else EXIT_OK)
        return True


def refused(problem: TunerError) -> int:
    """Log that the server wants nothing of this worker; return the exit code for it."""
    _LOG.error("the server refuses this worker: %s", problem.detail)
    denied = isinstance(problem, NotAuthenticated | NotAllowed)
    return EXIT_NOT_ALLOWED if denied else EXIT_FAILURE
