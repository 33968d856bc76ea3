"""Which study a worker serves next. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tuner.allow import allows_command, allows_entrypoint, allows_variable
from tuner.command import outline, shown
from tuner.packing import Need
from tuner.spec import RunCommand, RunEntrypoint, RunTask
from tuner.study import Study
from tuner.trial import StudyState, Worker

Counts = Mapping[int, int]
ProjectCounts = Mapping[str, int]


def order(
    studies: Sequence[Study],
    running_by_study: Counts,
    running_by_project: ProjectCounts,
    worker: Worker,
) -> list[Study]:
    """Return the studies whose trials `worker` may start now, the next one first.

    Larger priority goes first, then the project with the fewest running trials, then age.
    """
    ready = [
        s
        for s in studies
        if is_open(s) and not is_full(s, running_by_study) and refusal(s, worker) is None
    ]
    return sorted(ready, key=lambda s: rank(s, running_by_project))


def rank(study: Study, running_by_project: ProjectCounts) -> tuple[int, int, float, int]:
    """Return what sorts studies: priority, how much the project runs, age, id."""
    queue = study.spec.queue
    share = running_by_project.get(queue.project, 0)
    return (-queue.priority, share, study.created_at.timestamp(), study.study_id)


def is_open(study: Study) -> bool:
    """Tell whether trials of this study may start at all."""
    return study.state in (StudyState.QUEUED, StudyState.RUNNING) and study.stopping is None


def is_full(study: Study, running_by_study: Counts) -> bool:
    """Tell whether as many trials run as `budget.parallel` allows."""
    limit = study.spec.budget.parallel
    return limit is not None and running_by_study.get(study.study_id, 0) >= limit


def refusal(study: Study, worker: Worker) -> str | None:
    """Say why this worker never serves this study, or return None if it does."""
    return why_not(study, [worker])


def why_not(study: Study, workers: Sequence[Worker]) -> str | None:
    """Say why none of the live workers serves this study, or return None if one does.

    For an external study, which workers never serve, a sentence says so; its note needs none.
    """
    run = study.spec.run
    if run == "external":
        return "an external study's trials are asked for by its own loop"
    if not workers:
        return "no worker is connected"
    project = study.spec.queue.project
    near = [w for w in workers if w.project is None or w.project == project]
    able = [w for w in near if _can_run(run, w)]
    if not able:
        return _why_unable(run, near, project)
    gpus = math.ceil(gpus_of(study) or 0)
    seen, able = able, [w for w in able if len(w.gpus) >= gpus]
    if not able:
        return _why_no_room(gpus, near, seen)
    wanted = study.spec.queue.labels
    if not any(wanted.items() <= w.labels.items() for w in able):
        labels = ", ".join(f"{k}={v}" for k, v in sorted(wanted.items()))
        return f"no worker that could run it has the labels {labels}"
    return None


def _why_unable(
    run: RunTask | RunEntrypoint | RunCommand, near: Sequence[Worker], project: str
) -> str:
    if not near:
        return f"no worker serves the project {project}"
    if isinstance(run, RunTask):
        return f"no worker knows the task {run.task}"
    if isinstance(run, RunEntrypoint):
        return f"no worker allows {run.entrypoint}"
    if not any(_allows(run, worker) for worker in near):
        return f"no worker allows the command {shown(run.items)}"
    names = ", ".join(sorted(run.env))
    return f"no worker that allows the command lets studies set {names}"


def gpus_of(study: Study) -> Need:
    """Return the GPUs that a study's trials get, None where they name none."""
    run = study.spec.run
    return None if run == "external" else run.gpus


def is_plain(study: Study) -> bool:
    """Tell whether a study's trials name neither GPUs nor processes, so that any worker may run it.

    A worker of an earlier version would train them on whatever its slot sees.
    """
    return gpus_of(study) is None and getattr(study.spec.run, "processes", None) is None


def _why_no_room(gpus: int, near: Sequence[Worker], able: Sequence[Worker]) -> str:
    elsewhere = any(len(w.gpus) >= gpus for w in near if w not in able)
    who = "no worker that could run it has" if elsewhere else "no worker has"
    what = "a GPU" if gpus == 1 else f"{gpus} GPUs"
    return f"{who} {what} (those that `tuner worker --gpus` names)"


def _can_run(run: RunTask | RunEntrypoint | RunCommand, worker: Worker) -> bool:
    if isinstance(run, RunTask):
        return run.task in worker.tasks
    if isinstance(run, RunEntrypoint):
        return allows_entrypoint(worker.allow, run.entrypoint)
    may_set = all(allows_variable(worker.allow_env, name) for name in run.env)
    return may_set and _allows(run, worker)


def _allows(run: RunCommand, worker: Worker) -> bool:
    """Tell whether a worker allows a command whose values are not known yet.

    Each trial's own command line is checked again by the worker itself.
    """
    return all(
        allows_command(worker.allow_commands, outline(run.items, groups=groups))
        for groups in (True, False)
    )
