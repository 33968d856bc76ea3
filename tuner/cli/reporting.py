"""Commands for programs that a worker runs: `tuner report`, `tuner checkpoint`, `tuner keep`.

They talk to the worker on this machine and need neither address nor token. `tuner report STUDY` is
for people: it asks the server for a study and writes a page on it.
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
from tuner.cli.page import write_page
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
    ctx: typer.Context,
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Id or name: writes a page on it.")
    ] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where the page goes [default: STUDY.html]."
        ),
    ] = None,
    step: Annotated[int | None, typer.Option(min=0, help="Finished steps, counted from 1.")] = None,
    value: Annotated[
        float | None, typer.Option(help="The objective; `nan` says that it diverged.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Another metric; repeatable.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page on a study, or report from within a trial's program and print the decision.

    With STUDY: one HTML file without external parts: the best configuration, curves, importance,
    what pruning and halving did, findings, how to reproduce it.

    Within a program, with --step and --value: the exit code is 0 to go on, 10 to stop, 11 if the
    worker leaves: checkpoint and end. The decision is printed as lines that a shell can evaluate:
    action, lr_factor, reason, outcome.
    """
    if study is not None:
        if step is not None or value is not None or metric:
            raise typer.BadParameter("goes with --output alone", param_hint="STUDY")
        write_page(ctx, study, output, as_json=as_json)
        return
    if step is None or value is None:
        missing = "--value" if step is not None else "--step"
        raise typer.BadParameter("needed within a program; or give STUDY", param_hint=missing)
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
