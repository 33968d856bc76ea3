"""What a child is told of a trial, made from its lease."""

from __future__ import annotations

from pathlib import Path

from tuner.command import fill, param_texts
from tuner.wire import LeaseGrant
from tuner.worker.messages import CommandLine, ResumeFrom, Start
from tuner.worker.program import Program


def start_of(
    grant: LeaseGrant,
    program: Program,
    work: Path,
    *,
    resume: ResumeFrom | None = None,
    threads: int,
    report_timeout: float,
    kill_grace: float,
) -> Start:
    """Return what a child is told of a trial; `work` is the trial's own folder.

    Raises:
        InvalidInput: a value is absent which the command line needs.
    """
    return Start(
        study=grant.study,
        number=grant.number,
        attempt=grant.attempt,
        params=grant.params,
        seed=grant.seed,
        steps=grant.steps,
        metric=grant.metric,
        kind=program.kind,
        name=program.name,
        options=dict(program.options),
        command=_command(grant, program, work, resume, kill_grace),
        lr_factor=grant.lr_factor,
        resume=resume,
        work=str(work),
        threads=threads,
        report_timeout=report_timeout,
        processes=program.processes,
        patience=program.progress_timeout / 2,
    )


def _command(
    grant: LeaseGrant, program: Program, work: Path, resume: ResumeFrom | None, kill_grace: float
) -> CommandLine | None:
    run = program.command
    if run is None:
        return None
    return CommandLine(
        argv=fill(run.items, _values(grant, work, resume)),
        env=run.env,
        report=run.report,
        on_stop=run.on_stop,
        on_rate=run.on_rate,
        stop_grace=run.stop_grace,
        kill_grace=kill_grace,
    )


def _values(grant: LeaseGrant, work: Path, resume: ResumeFrom | None) -> dict[str, str]:
    """Return what placeholders stand for in this trial."""
    about: dict[str, float | int | str | None] = {
        "trial.study": grant.study,
        "trial.number": grant.number,
        "trial.attempt": grant.attempt,
        "trial.seed": grant.seed,
        "trial.steps": grant.steps,
        "trial.lr_factor": grant.lr_factor,
        "trial.resume.path": None if resume is None else resume.path,
        "trial.resume.step": None if resume is None else resume.step,
        "trial.folder": str(work),
    }
    known = {name: value for name, value in about.items() if value is not None}
    return param_texts({**grant.params, **known})
