"""The built-in trainer: tasks that a study can name without bringing code of its own.

Importing this package loads no torch; `run` and `warm` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuner.errors import InvalidInput
from tuner.handle import TrialHandle
from tuner.train import fits, presets
from tuner.train.catalog import TASKS, TaskInfo
from tuner.train.options import KNOWN_OPTIONS, Options
from tuner.train.recipe import KNOWN_FIELDS, KNOWN_PARAMS, Recipe, refusal

__all__ = [
    "KNOWN_FIELDS",
    "KNOWN_OPTIONS",
    "KNOWN_PARAMS",
    "TASKS",
    "TaskInfo",
    "refusal",
    "run",
    "task_info",
    "warm",
]


def task_info(task: str) -> TaskInfo:
    """Look a task up.

    Raises:
        InvalidInput: there is no such task; the message names those there are.
    """
    if task not in TASKS:
        raise InvalidInput(f"no task is named {task!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[task]


def run(
    trial: TrialHandle,
    task: str,
    options: Mapping[str, Any] | None = None,
    *,
    metric: str = "val_loss",
    folder: Path | None = None,
    recipe: Mapping[str, Any] | None = None,
    sources: Mapping[str, tuple[Path, ...]] | None = None,
    table: Mapping[str, Any] | None = None,
) -> None:
    """Train `task` as `trial` says, until its steps are done or it is told to stop.

    Args:
        trial: parameters, seed, steps and the checkpoint to go on from. A step is an epoch.
        task: a name in `TASKS`.
        options: `device`, `precision`, `checkpoint_every` (seconds), `deterministic`.
        metric: which metric is reported as the value.
        folder: where checkpoint files are written; by default a new temporary folder. A file that
            was handed over belongs to the handle and is not touched again.
        recipe: what the study fixes, as in `run.recipe` of its document.
        table: of the task `table`, what the study says of its file: `data`, `target`, `kind`,
            `ignore` and `split_seed`.
        sources: files of the checkpoints that `start_from` and `teacher` name, by these fields.

    Raises:
        InvalidInput: an unknown task, parameter, option or metric, a value outside its range, or a
            checkpoint that can't be read or belongs to another training.
    """
    info, made = task_info(task), None
    options = dict(options or {})
    follows = options.pop("after", None)
    if info.file:
        from tuner.train.table.task import of_file

        made = of_file(table or {}, trial.log)
        info = made.info
    if metric not in info.objectives:
        known = ", ".join(info.objectives)
        raise InvalidInput(f"{task} can't be tuned on {metric!r}; it can on {known}")
    chosen = Options.from_mapping(options)
    whole = Recipe.from_params(trial.params, info.defaults, presets.spread(info, recipe or {}))
    fits.check(info, whole)
    if follows is not None:
        from tuner.train import tasks
        from tuner.train.after import follow

        task_of = tasks.get(info.name) if made is None else made
        follow(trial, task_of, follows, chosen, recipe or {}, metric=metric, sources=sources or {})
        return

    from tuner.train.loop import train

    train(
        trial, info, whole, chosen, metric=metric, folder=folder, sources=sources or {}, task=made
    )


def warm(task: str | None = None) -> None:
    """Load torch, and a task's data if one is named, so that the first trial starts at once."""
    from tuner.train import loop, tasks  # noqa: F401

    if task is not None and task in tasks.names():
        tasks.get(task).data()
