"""How an attempt ended, said honestly. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tuner.decision import Outcome
from tuner.text import headline
from tuner.wire import FinishTrial
from tuner.worker.messages import Done

_TAIL = 4096
_HOW: Mapping[str, str] = {
    "left": "given back",
    "failed": "failed, will be tried again",
}


class Told(Protocol):
    """What a trial printed."""

    def tail(self, most: int) -> str:
        """Return the last `most` bytes as text."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of an attempt.

    `left`: the trial was asked to leave and goes back to the queue. `lost`: the lease is gone.
    `clean`: the child lives and may take another trial; `code` are the user's files it loaded, with
    modification times in nanoseconds. `node` says that the failure may be the node's. `gpu_full`:
    a GPU's memory ran out, not the host's; with `share` the trial is tried again with that part of
    a GPU. `gpu_peak` is in bytes of one GPU.
    """

    outcome: Literal["complete", "diverged", "oom", "failed", "left", "lost"]
    value: float | None = None
    error: str = ""
    retry: bool = True
    clean: bool = False
    node: bool = False
    code: Mapping[str, int] = field(default_factory=dict)
    gpu_full: bool = False
    gpu_peak: int = 0
    share: float | None = None

    def finish(self, attempt: int) -> FinishTrial:
        """Return what the server is told of an end that is neither `left` nor `lost`."""
        outcome = self.outcome
        if outcome == "lost" or outcome == "left":  # noqa: PLR1714 (mypy narrows by ==)
            return FinishTrial(attempt=attempt)
        return FinishTrial(
            attempt=attempt, outcome=outcome, value=self.value, error=self.error, retry=self.retry
        )

    def sentence(self, outcome: Outcome | None, step: int, metric: str, value: float | None) -> str:
        """Return the log's sentence; `outcome` is where the trial stands at the server."""
        given_back = outcome is None and self.share is not None
        told = "left" if given_back else self.outcome
        how = str(outcome) if outcome is not None else _HOW.get(told, told)
        at = f" at step {step}" if step else ""
        shown = f", last {metric} {value:.6g}" if value is not None else ""
        return how + at + shown

    def why(self) -> str:
        """Return the line that names the error, to stand at the end of a sentence."""
        line = headline(self.error)
        return f": {line[:300]}" if line else ""


def over(done: Done, *, asked: bool, alive: bool) -> Ending:
    """Return the ending of a trial whose child said how it went.

    Args:
        done: what the child said.
        asked: whether the trial was asked to leave.
        alive: whether the child was kept.
    """
    if done.outcome == "left" and not asked:
        return Ending(outcome="failed", error="the trial left without being asked", clean=alive)
    return Ending(
        outcome=done.outcome,
        value=done.value,
        error=done.error,
        retry=done.retry,
        clean=alive,
        node=done.node,
        code=done.code,
        gpu_full=done.gpu_full,
        gpu_peak=done.gpu_peak,
    )


def hung(timeout: float, output: Told) -> Ending:
    """Return the ending of a trial that was killed for making no progress."""
    return Ending(
        outcome="failed", error=_with_tail(f"no report for {timeout:g} s; killed", output)
    )


def too_large(excess: str, output: Told) -> Ending:
    """Return the ending of a trial that was killed for its memory; `excess` says how much."""
    return Ending(outcome="oom", error=_with_tail(f"{excess}; killed", output))


def crashed(status: int, oom_killed: bool, output: Told) -> Ending:
    """Return the ending of a trial whose process vanished with this exit status.

    Args:
        status: as `subprocess` gives it, negative for a signal.
        oom_killed: whether the kernel killed for memory here meanwhile.
        output: what the trial printed.
    """
    if status == -signal.SIGKILL and oom_killed:
        why = "killed by the kernel: the host's memory ran out"
        return Ending(outcome="oom", error=_with_tail(why, output), node=True)
    return Ending(outcome="failed", error=_with_tail(describe(status), output), node=True)


def vanished(why: str, oom_killed: bool, output: Told) -> Ending:
    """Return the ending of a trial of several processes, one of which died without a word."""
    if oom_killed:
        why = f"{why}; the kernel killed for memory meanwhile"
    return Ending(outcome="oom" if oom_killed else "failed", error=_with_tail(why, output))


def of_rank(rank: int, error: str) -> str:
    """Return a traceback with the rank in the line that names the error."""
    line = headline(error)
    if not line:
        return f"rank {rank}: {error}"
    before, _, after = error.rpartition(line)
    return f"{before}rank {rank}: {line}{after}"


def describe(status: int) -> str:
    """Return a sentence on an exit status."""
    if status >= 0:
        return f"the process ended with exit code {status} in mid-trial"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hint = "; the host may have run out of memory" if status == -signal.SIGKILL else ""
    return f"the process was killed by {name}{hint}"


def _with_tail(why: str, output: Told) -> str:
    # Marked, so that no line of it is taken for the error's own.
    tail = "\n".join(f"> {line}" for line in output.tail(_TAIL).strip().splitlines())
    return f"its last output:\n{tail}\n\n{why}" if tail else why
