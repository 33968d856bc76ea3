"""What all slots and attempts of a worker share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher
from tuner.worker.config import WorkerConfig
from tuner.worker.link import Link
from tuner.worker.messages import ResumeFrom, Start
from tuner.worker.program import Program
from tuner.worker.recording import Recording


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The worker's connections and places. `threads` are a slot's share of the cores."""

    config: WorkerConfig
    api: WorkerApi
    batcher: Batcher
    link: Link
    recording: Recording
    work: Path
    threads: int

    def start(
        self, grant: LeaseGrant, program: Program, work: Path, resume: ResumeFrom | None
    ) -> Start:
        """Return what a child is told of a trial; `work` is the trial's own folder."""
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
            lr_factor=grant.lr_factor,
            resume=resume,
            work=str(work),
            threads=self.threads,
            report_timeout=self.config.report_timeout,
        )
