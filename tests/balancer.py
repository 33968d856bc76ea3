"""A load balancer: one address before several servers, leading to the one that says it is ready."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Self

import httpx

from tests.proxy import Fault, Proxy

LOOK_S = 0.1


def is_ready(url: str) -> bool:
    """Tell whether a server takes work."""
    try:
        return httpx.get(f"{url}/readyz", timeout=1.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


class Balancer(Proxy):
    """Sends each new connection to the server that was ready when looked at last."""

    def __init__(self, urls: Sequence[str]) -> None:
        super().__init__(urls[0], Fault.NONE)
        self._urls = tuple(urls)
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look, name="balancer")

    def __enter__(self) -> Self:
        self._looking.start()
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._looking.join()
        super().__exit__(*exc)

    def _look(self) -> None:
        while not self._over.wait(LOOK_S):
            if (found := next(filter(is_ready, self._urls), None)) is not None:
                self.lead_to(found)
