"""What a trial runs: a built-in task, a user's function or program; and whether it may run here."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from tuner.allow import allows_command, allows_entrypoint, allows_variable
from tuner.command import shown
from tuner.packing import process_count
from tuner.size import read_size
from tuner.spec import RunCommand, RunTable, RunTask
from tuner.train import KNOWN_OPTIONS, TASKS
from tuner.worker.config import WorkerConfig
from tuner.worker.data import refused_data

PROGRESS_TIMEOUT_S = 1800.0
TABLE = tuple(RunTable.model_fields.keys() - RunTask.model_fields.keys())
"""What a document says of a table."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """Name what a trial runs.

    Args:
        progress_timeout: seconds without a report after which it is killed.
        command: the document's section of a program of the user's own.
        memory: bytes of host memory that it may use with all its processes.
        gpus: GPUs it gets, as in `tuner.packing.Need`.
        processes: how many train it together.
    """

    kind: Literal["task", "entrypoint", "command"]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    progress_timeout: float = PROGRESS_TIMEOUT_S
    command: RunCommand | None = None
    memory: int | None = None
    gpus: float | None = None
    processes: int = 1

    @property
    def warmth(self) -> str:
        """Which trials may follow each other in one child: tasks, commands, or one function's.

        Processes that train together are new for each trial, as commands are.
        """
        if self.processes > 1:
            return "command"
        return self.name if self.kind == "entrypoint" else self.kind


def read_program(run: object) -> Program | None:
    """Read the `run` section a lease carries; None if it is nothing a worker can run.

    Keys this version does not know are ignored, as in all replies.
    """
    if not isinstance(run, Mapping):
        return None
    bounds: dict[str, Any] = {
        "progress_timeout": float(run.get("progress_timeout", PROGRESS_TIMEOUT_S)),
        "memory": _memory(run.get("memory")),
        "gpus": run.get("gpus"),
    }
    task, entrypoint = run.get("task"), run.get("entrypoint")
    if isinstance(task, str):
        options = {key: run[key] for key in KNOWN_OPTIONS if key in run}
        if isinstance(recipe := run.get("recipe"), Mapping):
            options["recipe"] = {key: x for key, x in recipe.items() if x is not None}
        if "data" in run:
            options["table"] = {key: run[key] for key in TABLE if key in run}
        if isinstance(after := run.get("after"), Mapping):
            options["after"] = dict(after)
        return Program(kind="task", name=task, options=options, **bounds)
    if isinstance(entrypoint, str):
        processes = process_count(bounds["gpus"], run.get("processes"))
        return Program(kind="entrypoint", name=entrypoint, processes=processes, **bounds)
    known = {key: value for key, value in run.items() if key in RunCommand.model_fields}
    try:
        command = RunCommand.model_validate(known)
    except ValidationError:
        return None
    return Program(kind="command", name=shown(command.items), command=command, **bounds)


def _memory(given: object) -> int | None:
    with contextlib.suppress(ValueError):
        return read_size(given) if isinstance(given, str) else None
    return None


def refusal(program: Program, config: WorkerConfig) -> str | None:
    """Say why this worker may not run `program`, None if it may.

    A trial's own command line is checked by `refused_command`, once it is filled in.
    """
    if program.kind == "entrypoint":
        if allows_entrypoint(config.allow, program.name):
            return None
        return f"this worker does not allow the entrypoint {program.name}"
    if program.command is not None:
        names = [n for n in program.command.env if not allows_variable(config.allow_env, n)]
        return f"this worker does not let studies set {', '.join(names)}" if names else None
    known = tasks()
    if not known:
        return f"this worker has no torch for the task {program.name}"
    if program.name not in known:
        return f"this worker knows no task {program.name}; its tasks are {', '.join(known)}"
    table = program.options.get("table")
    return None if table is None else refused_data(table.get("data"), config)


def refused_command(argv: Sequence[str], config: WorkerConfig) -> str | None:
    """Say that this worker may not start this very command line, None if it may."""
    if allows_command(config.allow_commands, argv):
        return None
    return f"this worker does not allow the command {shown(argv)}"


def has_torch() -> bool:
    """Tell whether torch is installed, without loading it."""
    return importlib.util.find_spec("torch") is not None


def tasks(config: WorkerConfig | None = None) -> tuple[str, ...]:
    """Return the built-in tasks this node can train: none without torch.

    Those that read files are among them only where `config` names folders for them, those that
    need a further package only where it is installed.
    """
    if not has_torch():
        return ()
    reads = config is None or bool(config.allow_data)
    return tuple(
        name
        for name, info in TASKS.items()
        if (reads or not info.file) and (info.needs is None or _is_there(info.needs))
    )


def _is_there(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
