"""Guesses slowed down: a bucket of wrong tokens for each address."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

_MOST = 10_000
_NETWORK_BITS = 64
"""Of an IPv6 address: its owner has all those that begin so."""


def neighbourhood(address: str) -> str:
    """Return what stands for all addresses that who has this one has, too."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    network = int(found) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
    return f"{ipaddress.IPv6Address(network)}/{_NETWORK_BITS}"


class Throttle:
    """Counts failures by address; time is a clock that never jumps, in seconds.

    Guarantees: an address fails at most `burst` times at once, and once in `refill_s` after that;
    at most `_MOST` addresses are remembered, the longest silent forgotten first.
    """

    def __init__(self, burst: int, refill_s: float, monotonic: Callable[[], float]) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._now = monotonic
        self._full_at: dict[str, float] = {}

    def wait(self, address: str) -> float:
        """Return the seconds until this address may try again, 0 if it may now."""
        over = self._full_at.get(address, 0.0) - self._now() - self._refill_s * (self._burst - 1)
        return max(0.0, over)

    def fail(self, address: str) -> None:
        """Note a wrong token."""
        now = self._now()
        full_at = max(self._full_at.pop(address, now), now) + self._refill_s
        if len(self._full_at) >= _MOST:
            del self._full_at[next(iter(self._full_at))]
        self._full_at[address] = full_at
