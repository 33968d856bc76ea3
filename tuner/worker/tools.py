"""What all slots and attempts of a worker share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.command import fill, param_texts
from tuner.errors import NotAllowed
from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher
from tuner.worker.config import WorkerConfig
from tuner.worker.link import Link
from tuner.worker.messages import CommandLine, ResumeFrom, Start
from tuner.worker.program import Program, refused_command


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The worker's connections and places. `threads` are a slot's share of the cores."""

    config: WorkerConfig
    api: WorkerApi
    batcher: Batcher
    link: Link
    work: Path
    threads: int

    def start(
        self, grant: LeaseGrant, program: Program, work: Path, resume: ResumeFrom | None
    ) -> Start:
        """Return what a child is told of a trial; `work` is the trial's own folder.

        Raises:
            NotAllowed: this worker may not start the trial's command line.
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
            command=self._command(grant, program, work, resume),
            lr_factor=grant.lr_factor,
            resume=resume,
            work=str(work),
            threads=self.threads,
            report_timeout=self.config.report_timeout,
            processes=program.processes,
            patience=program.progress_timeout / 2,
        )

    def _command(
        self, grant: LeaseGrant, program: Program, work: Path, resume: ResumeFrom | None
    ) -> CommandLine | None:
        run = program.command
        if run is None:
            return None
        argv = fill(run.items, _values(grant, work, resume))
        why = refused_command(argv, self.config)
        if why is not None:
            raise NotAllowed(why)
        return CommandLine(
            argv=argv,
            env=run.env,
            report=run.report,
            on_stop=run.on_stop,
            on_rate=run.on_rate,
            stop_grace=run.stop_grace,
            kill_grace=self.config.kill_grace,
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
