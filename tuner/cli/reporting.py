"""Commands for programs that a worker runs: `tuner report`, `tuner checkpoint`, `tuner keep`.

They talk to the worker on this machine and need neither address nor token.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption
from tuner.cli.exits import LEAVE, STOP
from tuner.cli.output import print_json_line
from tuner.errors import OutsideTrial, TrialInterrupted

if TYPE_CHECKING:
    from tuner.worker.remote import RemoteTrial

StepOption = Annotated[int, typer.Option(min=0, help="Finished steps, counted from 1.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(report)
    app.command()(checkpoint)
    app.command()(keep)


def report(
    *,
    step: StepOption,
    value: Annotated[float, typer.Option(help="The objective; `nan` says that it diverged.")],
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another metric; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Report from within a trial's program; print the decision.

    Exit codes: 0 go on, 10 stop, 11 the worker leaves: checkpoint and end. The decision is printed
    as lines that a shell can evaluate: action, lr_factor, reason, outcome.
    """
    metrics = read_metrics(metric or [])
    trial = _trial("report")
    try:
        decision = trial.report(step, value, metrics)
    except TrialInterrupted as exc:
        typer.echo(f"error: {exc.detail}", err=True)
        raise typer.Exit(LEAVE) from exc
    shown: dict[str, Any] = {
        "action": decision.action.value,
        "lr_factor": decision.lr_factor,
        "reason": decision.reason,
        "outcome": decision.outcome,
    }
    if as_json:
        print_json_line({**shown, "should_stop": trial.leaving})
    else:
        for name, one in shown.items():
            typer.echo(f"{name}={shlex.quote(str(one)) if one is not None else ''}")
    if decision.stop:
        raise typer.Exit(STOP)
    if trial.leaving:
        raise typer.Exit(LEAVE)


def checkpoint(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A complete checkpoint.")],
    step: StepOption,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the file where it is and hand over a copy.")
    ] = False,
) -> None:
    """Hand over a checkpoint from within a trial's program.

    The file is moved away and uploaded while the program goes on. A later attempt of the trial
    finds it at $TUNER_RESUME, and its step in $TUNER_RESUME_STEP.
    """
    trial = _trial("checkpoint")
    if keep and file.is_file():
        with tempfile.NamedTemporaryFile(prefix="copy-", suffix=".ckpt", delete=False) as copy:
            shutil.copyfile(file, copy.name)
        file = Path(copy.name)
    trial.checkpoint(step, file)


def keep(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A file, or a folder with all in it.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Name to keep it under, such as `plots/loss.png`.")
    ] = None,
) -> None:
    """Keep a file or a folder with the trial, from within its program.

    It is copied at once, and uploaded while the program goes on; `tuner artifacts` shows it.
    """
    _trial("keep").artifact(path, name)


def read_metrics(texts: list[str]) -> dict[str, float]:
    """Read metrics given as `name=value`."""
    metrics: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            metrics[name] = float(value)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} is not NAME=NUMBER", param_hint="--metric")
    return metrics


def _trial(command: str) -> RemoteTrial:
    from tuner.worker.current import current_trial
    from tuner.worker.remote import RemoteTrial

    found = current_trial(default=None)
    if not isinstance(found, RemoteTrial):
        raise OutsideTrial(
            f"no trial is under way here: `tuner {command}` is for what a worker has started"
        )
    return found
