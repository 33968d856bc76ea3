"""A look at all processes now and then: ends those whose trial is gone, and measures the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping

from tuner.worker import linux
from tuner.worker.attempt import Attempt
from tuner.worker.process import Orphans

EVERY_S = 0.25
IDLE_S = 1.0
"""Between two looks while no trial runs."""
_SHARE = 20.0
"""A look is followed by a pause of so many times its length."""


async def look(orphans: Orphans, attempts: Collection[Attempt]) -> None:
    """Look once, then pause."""
    began = time.monotonic()
    all_of = await asyncio.to_thread(linux.processes)
    orphans.look(all_of)
    running = list(attempts)
    await asyncio.to_thread(_measure, running, all_of)
    for one in running:
        one.judge()
    least = EVERY_S if running else IDLE_S
    await asyncio.sleep(max(least, _SHARE * (time.monotonic() - began)))


def _measure(attempts: Collection[Attempt], all_of: Mapping[int, linux.Process]) -> None:
    for one in attempts:
        one.measure(all_of)
