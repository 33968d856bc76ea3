"""TLS handshakes with the time of a request's head: before it no limit on connections holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.loops.auto import auto_loop_factory


def loop_factory(seconds: float) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop whose servers give a TLS handshake so many seconds.

    uvicorn has no setting for it, and the loops' own default is a minute.
    """
    kind: Any = type(_probe())

    class Loop(kind):  # type: ignore[misc]
        async def create_server(self, *args: Any, **options: Any) -> Any:
            if options.get("ssl") is not None:
                options.setdefault("ssl_handshake_timeout", seconds)
            return await super().create_server(*args, **options)

    return Loop


def _probe() -> asyncio.AbstractEventLoop:
    loop = auto_loop_factory()()
    loop.close()
    return loop
