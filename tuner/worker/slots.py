"""A slot: the place of one trial at a time, with a child that is warm before its trial arrives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from tuner.wire import LeaseGrant
from tuner.worker.attempt import Attempt
from tuner.worker.endings import Ending
from tuner.worker.messages import Warm
from tuner.worker.process import ChildProcess
from tuner.worker.program import Program, has_torch, read_program, refusal
from tuner.worker.tools import Tools

_LOG = logging.getLogger("tuner.worker")


class Slot:
    """Runs the trials it is given, one after another.

    Args:
        devices: CUDA_VISIBLE_DEVICES of its children, None to leave it.
        on_free: called when it can take a trial.
        on_attempt: called with each attempt when it begins.
        on_over: called with it when the slot is done with it and the server is not yet told.
    """

    def __init__(
        self,
        tools: Tools,
        devices: str | None,
        *,
        on_free: Callable[[], None],
        on_attempt: Callable[[Attempt], None],
        on_over: Callable[[Attempt, Ending], None],
    ) -> None:
        self._tools = tools
        self._devices = devices
        self._on_free = on_free
        self._on_attempt = on_attempt
        self._on_over = on_over
        self._given: asyncio.Queue[LeaseGrant] = asyncio.Queue()
        self._child: ChildProcess | None = None
        self._trials = 0
        self._code: Mapping[str, int] = {}
        self.warmth: str | None = None
        self.free = False

    def give(self, grant: LeaseGrant) -> None:
        """Hand over a lease; the slot is not free until its trial is over."""
        self.free = False
        self._given.put_nowait(grant)

    async def serve(self) -> None:
        """Run trials until cancelled."""
        await self._fresh(None)
        while True:
            self.free = True
            self._on_free()
            await self._run(await self._given.get())

    async def close(self) -> None:
        """Kill the child with all that stems from it."""
        self.free = False
        if self._child is not None:
            child, self._child = self._child, None
            await child.end()

    async def _run(self, grant: LeaseGrant) -> None:
        program = read_program(grant.run)
        why = (
            "its `run` is nothing this worker can run"
            if program is None
            else refusal(program, self._tools.config)
        )
        program = program or Program(kind="task", name="")
        attempt = Attempt(self._tools, grant, program)
        self._on_attempt(attempt)
        if why is not None:
            ending = Ending(outcome="failed", error=why, retry=False, clean=True)
            self._on_over(attempt, ending)
            return
        child = await self._child_for(program)
        self.warmth = program.warmth
        self._trials += 1
        ending = await attempt.train(child)
        self._on_over(attempt, ending)
        self._code = ending.code
        if not ending.clean or ending.outcome in ("failed", "oom"):
            await self._fresh(program)

    async def _child_for(self, program: Program) -> ChildProcess:
        child = self._child
        used = self._trials > 0
        if (
            child is None
            or not child.alive
            or (used and self.warmth != program.warmth)
            or self._trials >= self._tools.config.trials_per_child
            or changed(self._code)
        ):
            child = await self._fresh(program)
        return child

    async def _fresh(self, program: Program | None) -> ChildProcess:
        await self.close()
        self._trials, self._code, self.warmth = 0, {}, None
        self._child = await ChildProcess.start(
            threads=self._tools.threads,
            devices=self._devices,
            preload=self._preloads(program),
        )
        if program is not None and program.kind != "command":
            self._child.line.send(Warm(kind=program.kind, name=program.name))
        return self._child

    def _preloads(self, program: Program | None) -> bool:
        """Tell whether a child loads torch at once; a program loads what it needs itself."""
        of_its_own = program is not None and program.kind == "command"
        return self._tools.config.preload and not of_its_own and has_torch()


def changed(code: Mapping[str, int]) -> bool:
    """Tell whether one of these files is another than when it was loaded."""
    for file, loaded in code.items():
        with contextlib.suppress(OSError):
            if Path(file).stat().st_mtime_ns == loaded:
                continue
        return True
    return False
