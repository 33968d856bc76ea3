"""Every limit with its default, as one frozen value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tuner.errors import InvalidInput

EVERY = "*"
"""The project of a quota that holds for each project without one of its own."""
KINDS = ("parallel", "queued", "artifact_bytes")


@dataclass(frozen=True, kw_only=True)
class Quota:
    """What one project may use; None is without a limit.

    Args:
        parallel: trials that run at once.
        queued: studies that are not over.
        artifact_bytes: bytes of its trials' kept checkpoints and artifacts.
    """

    parallel: int | None = None
    queued: int | None = None
    artifact_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of a server. Durations in seconds, sizes in bytes; a rate or burst of 0 is off.

    Args:
        rate: requests a second of one token, but for those of the worker protocol.
        rate_burst: requests a token may send at once after a pause.
        worker_rate: requests a second of one token to the routes of the worker protocol.
        worker_burst: such requests a token may send at once after a pause.
        header_s: time from a request's first byte until its head is whole.
        max_header: bytes of a request's head.
        idle_s: time a body may pause while it arrives.
        connections: open connections.
        polls: long polls at once, of all tokens.
        polls_each: long polls at once, of one token.
        streams: event streams at once, of all tokens.
        streams_each: event streams at once, of one token.
        stream_heartbeat_s: longest silence of an event stream.
        stream_queue: bytes that wait for one listener before it is cut off.
        wrong_tokens: wrong tokens an address may send at once.
        wrong_token_s: time after which it may send another one.
        max_artifact: bytes of one artifact.
        artifacts_each: artifacts of one trial.
        retry_s: what `Retry-After` says where a place has to come free.
        log_bytes: bytes kept of what one attempt of a trial prints.
        quotas: by project; `*` for those not named.
    """

    rate: float = 100.0
    rate_burst: float = 500.0
    worker_rate: float = 5_000.0
    worker_burst: float = 20_000.0
    header_s: float = 10.0
    max_header: int = 32_768
    idle_s: float = 30.0
    connections: int = 4_000
    polls: int = 3_000
    polls_each: int = 2_000
    streams: int = 1_000
    streams_each: int = 250
    stream_heartbeat_s: float = 15.0
    stream_queue: int = 1_000_000
    wrong_tokens: int = 10
    wrong_token_s: float = 6.0
    max_artifact: int = 5_000_000_000
    artifacts_each: int = 1_000
    retry_s: float = 2.0
    log_bytes: int = 512 << 10
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    def quota(self, project: str) -> Quota:
        """Return a project's quota."""
        return self.quotas.get(project) or self.quotas.get(EVERY) or Quota()


def read_quotas(texts: Sequence[str]) -> dict[str, Quota]:
    """Read `PROJECT:KIND=N`, several merged.

    Raises:
        InvalidInput: one is not of this form.
    """
    found: dict[str, dict[str, int]] = {}
    for text in texts:
        project, colon, rest = text.rpartition(":")
        kind, equals, number = rest.partition("=")
        kind = kind.replace("-", "_")
        if not (colon and equals and project and kind in KINDS and number.isdecimal()):
            kinds = ", ".join(KINDS)
            raise InvalidInput(
                f"{text!r} is not PROJECT:KIND=NUMBER, such as vision:parallel=8; KIND is "
                f"one of {kinds}, and PROJECT may be {EVERY}"
            )
        found.setdefault(project, {})[kind] = int(number)
    return {project: Quota(**kinds) for project, kinds in found.items()}
