"""The command that shows what a trial printed: `tuner logs`."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner.cli.context import StudyArgument, session, study


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(logs)


def logs(
    ctx: typer.Context,
    name: StudyArgument,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    *,
    attempt: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="This attempt [default: the latest].", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the trial has ended.")
    ] = False,
    times: Annotated[
        bool, typer.Option("--times", "-t", help="Begin each line with its time in UTC.")
    ] = False,
) -> None:
    """Show what a trial printed. With --follow its further attempts too."""
    with study(ctx, name) as handle:
        trial = handle.trial(number)
        if not follow:
            typer.echo(trial.log(attempt, times=times), nl=False)
            return
        shown = attempt
        for piece in trial.follow_log(attempt, times=times):
            if shown is not None and piece.attempt != shown:
                session(ctx).say(f"attempt {piece.attempt}")
            shown = piece.attempt
            typer.echo(piece.text, nl=False)
