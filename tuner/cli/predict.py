"""The command that uses what a study of a table learned: predictions for further rows."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.context import StudyArgument, session, study
from tuner.cli.extras import torch_needed
from tuner.cli.output import count
from tuner.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from tuner.client import StudyHandle
    from tuner.train.table.predict import Model, Predictions
    from tuner.train.table.read import Table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(predict)


def predict(
    ctx: typer.Context,
    name: StudyArgument,
    data: Annotated[
        Path, typer.Option(metavar="FILE", help="Rows to predict: a CSV or Parquet file.")
    ],
    *,
    number: Annotated[
        int | None,
        typer.Option(
            "--trial", min=0, metavar="TRIAL", help="The trial whose network predicts [the best]."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where the CSV goes [standard output]."),
    ] = None,
) -> None:
    """Predict further rows with the best network of a study of a table.

    Prints the rows with predicted_TARGET behind them, and of classes probability_CLASS each. The
    columns are prepared as they were in training. Where the file knows the target, too, it says how
    good the predictions are.
    """
    torch_needed("tuner predict")
    from tuner.train.table.predict import write
    from tuner.train.table.read import read

    table = read(data)
    with study(ctx, name) as handle:
        model = _model(ctx, handle, number)
    found = model.predict(table)
    for line in _said(model, table, found):
        session(ctx).say(line)
    if output is None:
        write(sys.stdout, table, model.target, found)
        return
    try:
        with output.open("w", encoding="utf-8", newline="") as file:
            write(file, table, model.target, found)
    except OSError as problem:
        raise InvalidInput(f"{output} can't be written: {problem.strerror}") from problem
    session(ctx).say(f"{output}: {count(len(table), 'row')}")


def _model(ctx: typer.Context, handle: StudyHandle, number: int | None) -> Model:
    """Return the network that a trial keeps.

    Raises:
        InvalidInput: the study learned no table.
        NotFound: no trial has a value, or this one keeps no network.
    """
    from tuner.train.best import MODEL
    from tuner.train.table.predict import Model

    run = handle.view.spec.get("run")
    task = run.get("task") if isinstance(run, dict) else None
    if task != "table":
        raise InvalidInput(f"{handle.name} is no study of a table (run.task: table)")
    if number is None:
        best = handle.best
        if best is None:
            raise NotFound(f"no trial of {handle.name} has a value yet")
        number = best.number
    kept = [file for file in handle.trial(number).artifacts() if file.name == MODEL]
    if not kept:
        raise NotFound(
            f"trial {number} keeps no {MODEL}: trials do once they end, unless they are pruned, "
            "diverge or fail"
        )
    with tempfile.TemporaryDirectory() as folder:
        model = Model.load(kept[0].download(folder))
    value = model.metrics.get(model.metric)
    of = "" if value is None else f", {model.metric} {value:.4g}"
    session(ctx).say(f"trial {number} of {handle.name}, step {model.step}{of}")
    return model


def _said(model: Model, table: Table, found: Predictions) -> Iterator[str]:
    for remark in model.remarks(table):
        yield f"warning: {remark}"
    rows, measured = model.measured(table, found)
    if rows:
        told = ", ".join(
            f"{what.replace('_', ' ')} {value:.4g}" for what, value in measured.items()
        )
        yield f"{model.target} is known in {count(rows, 'row')}: {told}"
