"""What a trial runs: a built-in task or a user's function, and whether this worker may run it."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from tuner.size import read_size
from tuner.train import KNOWN_OPTIONS, TASKS

PROGRESS_TIMEOUT_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """Name what a trial runs. `progress_timeout` is in seconds without a report.

    `memory` are bytes of host memory that the trial may use with all its processes.
    """

    kind: Literal["task", "entrypoint"]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    progress_timeout: float = PROGRESS_TIMEOUT_S
    memory: int | None = None

    @property
    def warmth(self) -> str:
        """Which trials may follow each other in one child: all tasks, or one entrypoint's."""
        return "task" if self.kind == "task" else self.name


def read_program(run: object) -> Program | None:
    """Read the `run` section a lease carries; None if it is nothing a worker can run.

    Keys this version does not know are ignored, as in all replies.
    """
    if not isinstance(run, Mapping):
        return None
    bounds: dict[str, Any] = {
        "progress_timeout": float(run.get("progress_timeout", PROGRESS_TIMEOUT_S)),
        "memory": _memory(run.get("memory")),
    }
    task, entrypoint = run.get("task"), run.get("entrypoint")
    if isinstance(task, str):
        options = {key: run[key] for key in KNOWN_OPTIONS if key in run}
        return Program(kind="task", name=task, options=options, **bounds)
    if isinstance(entrypoint, str):
        return Program(kind="entrypoint", name=entrypoint, **bounds)
    return None


def _memory(given: object) -> int | None:
    with contextlib.suppress(ValueError):
        return read_size(given) if isinstance(given, str) else None
    return None


def refusal(program: Program, allow: Sequence[str]) -> str | None:
    """Say why this worker may not run `program`, None if it may."""
    if program.kind == "entrypoint":
        if any(fnmatchcase(program.name, pattern) for pattern in allow):
            return None
        return f"this worker does not allow the entrypoint {program.name}"
    known = tasks()
    if not known:
        return f"this worker has no torch for the task {program.name}"
    if program.name not in known:
        return f"this worker knows no task {program.name}; its tasks are {', '.join(known)}"
    return None


def has_torch() -> bool:
    """Tell whether torch is installed, without loading it."""
    return importlib.util.find_spec("torch") is not None


def tasks() -> tuple[str, ...]:
    """Return the built-in tasks this node can train; none without torch."""
    return tuple(TASKS) if has_torch() else ()
