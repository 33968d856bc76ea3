"""What all slots and attempts of a worker share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuner.errors import NotAllowed
from tuner.secrets import Masker
from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.batcher import Batcher
from tuner.worker.conduct import Conduct
from tuner.worker.config import WorkerConfig
from tuner.worker.data import with_data
from tuner.worker.link import Link
from tuner.worker.log_sender import LogSender
from tuner.worker.messages import ResumeFrom, Start
from tuner.worker.process import Orphans
from tuner.worker.program import Program, refused_command
from tuner.worker.recording import Recording
from tuner.worker.starting import start_of


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The worker's connections and places. `threads` are a slot's share of the cores."""

    config: WorkerConfig
    api: WorkerApi
    batcher: Batcher
    conduct: Conduct
    link: Link
    logs: LogSender
    masker: Masker
    orphans: Orphans
    recording: Recording
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
        start = start_of(
            grant,
            with_data(program, self.config),
            work,
            resume=resume,
            threads=self.threads,
            report_timeout=self.config.report_timeout,
            kill_grace=self.config.kill_grace,
        )
        if start.command is not None:
            why = refused_command(start.command.argv, self.config)
            if why is not None:
                raise NotAllowed(why)
        return start
