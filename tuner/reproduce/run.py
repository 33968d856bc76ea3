"""Runs a recorded trial in a child process and collects what it reports."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tuner.environment import variables_again
from tuner.errors import InvalidInput
from tuner.reproduce.files import Files
from tuner.reproduce.recorded import Recorded
from tuner.reproduce.replay import Replay
from tuner.wire import LeaseGrant
from tuner.worker.messages import Done, Start
from tuner.worker.program import Program, read_program
from tuner.worker.starting import start_of

_TIMEOUT_S = 10.0
_THREADS = "OMP_NUM_THREADS"
_NONE = Files()
_SECRETS = ("TUNER_TOKEN", "TUNER_ADMIN_TOKEN")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a repetition did: its curve, and why it failed, '' if it did not."""

    curve: tuple[tuple[int, float], ...]
    error: str


def run(
    recorded: Recorded,
    folder: Path,
    variables: Mapping[str, str],
    files: Files = _NONE,
) -> Outcome:
    """Train the trial again, in `folder`, and wait until it ends.

    Args:
        recorded: the trial.
        folder: working directory, in which its code is found.
        variables: the recorded ones.
        files: what the trial began with.

    Raises:
        InvalidInput: its `run` section is nothing that can be run here.
    """
    recorded.require_program()
    program = read_program(recorded.run)
    if program is None:
        raise InvalidInput("its `run` section is of another version: nothing here can run it")
    if files.sources:
        program = replace(program, options={**program.options, "sources": dict(files.sources)})
    with tempfile.TemporaryDirectory(prefix="tuner-reproduce-") as name:
        place = Path(name)
        work = place / "work"
        work.mkdir()
        start = _start(recorded, program, work, files, _threads(variables))
        (place / "start.json").write_text(start.model_dump_json(), encoding="utf-8")
        (place / "replay.json").write_text(Replay.of(recorded).model_dump_json(), encoding="utf-8")
        status = _wait(place, folder, variables)
        return Outcome(curve=_curve(place), error=_error(place, status))


def _start(recorded: Recorded, program: Program, work: Path, files: Files, threads: int) -> Start:
    grant = LeaseGrant(
        lease="",
        study_id=0,
        study=recorded.study,
        number=recorded.number,
        attempt=1,
        params=dict(recorded.params),
        seed=recorded.seed,
        steps=recorded.steps,
        metric=recorded.metric,
        mode="min",
        run=recorded.run,
        lr_factor=recorded.first_level,
    )
    return start_of(
        grant,
        program,
        work,
        resume=files.resume,
        threads=threads,
        report_timeout=_TIMEOUT_S,
        kill_grace=_TIMEOUT_S,
    )


def _threads(variables: Mapping[str, str]) -> int:
    named = variables.get(_THREADS, "") or os.environ.get(_THREADS, "")
    return int(named) if named.isdecimal() and int(named) else 1


def _wait(place: Path, folder: Path, variables: Mapping[str, str]) -> int:
    kept = {key: value for key, value in os.environ.items() if key not in _SECRETS}
    environment = variables_again(variables, kept)
    command = [sys.executable, "-m", "tuner.reproduce.child", str(place)]
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=sys.stderr) as process:  # noqa: S603
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise


def _curve(place: Path) -> tuple[tuple[int, float], ...]:
    file = place / "reports.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    pairs = (json.loads(line) for line in lines)
    return tuple((step, math.nan if value is None else value) for step, value in pairs)


def _error(place: Path, status: int) -> str:
    file = place / "end.json"
    if not file.exists():
        return f"the process ended with {status} before the trial did"
    done = Done.model_validate_json(file.read_bytes())
    if done.outcome in ("failed", "oom"):
        return done.error or done.outcome
    return ""
