"""What a trial runs: a built-in task or a user's function, and whether this worker may run it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from tuner.packing import process_count
from tuner.train import KNOWN_OPTIONS, TASKS

PROGRESS_TIMEOUT_S = 1800.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """Name what a trial runs.

    Args:
        progress_timeout: seconds without a report after which it is killed.
        gpus: GPUs it gets, as in `tuner.packing.Need`.
        processes: how many train it together.
    """

    kind: Literal["task", "entrypoint"]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    progress_timeout: float = PROGRESS_TIMEOUT_S
    gpus: float | None = None
    processes: int = 1

    @property
    def warmth(self) -> str:
        """Which trials may follow each other in one child: all tasks, or one entrypoint's.

        Processes that train together are new for each trial.
        """
        if self.processes > 1:
            return ""
        return "task" if self.kind == "task" else self.name


def read_program(run: object) -> Program | None:
    """Read the `run` section a lease carries; None if it is nothing a worker can run.

    Keys this version does not know are ignored, as in all replies.
    """
    if not isinstance(run, Mapping):
        return None
    timeout = float(run.get("progress_timeout", PROGRESS_TIMEOUT_S))
    task, entrypoint, gpus = run.get("task"), run.get("entrypoint"), run.get("gpus")
    if isinstance(task, str):
        options = {key: run[key] for key in KNOWN_OPTIONS if key in run}
        return Program(kind="task", name=task, options=options, progress_timeout=timeout, gpus=gpus)
    if isinstance(entrypoint, str):
        return Program(
            kind="entrypoint",
            name=entrypoint,
            progress_timeout=timeout,
            gpus=gpus,
            processes=process_count(gpus, run.get("processes")),
        )
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
