"""The application: all commands, the global options, and errors as lines and exit codes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tuner.cli import (
    access,
    adopt,
    artifacts,
    by_hand,
    change,
    control,
    convert,
    database,
    db,
    doctor,
    events,
    finish,
    logs,
    nodes,
    predict,
    projects,
    reporting,
    reproduce,
    studies,
    trial,
    watch,
    webhook,
)
from tuner.cli.context import Session
from tuner.cli.exits import exit_code, explain
from tuner.errors import TunerError


class Commands(TyperGroup):
    """The commands in order of their registration; errors end them with lines, not tracebacks."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run a command."""
        try:
            return super().invoke(ctx)
        except TunerError as exc:
            for line in explain(exc):
                typer.echo(line, err=True)
            raise typer.Exit(exit_code(exc)) from exc
        except UnicodeDecodeError as exc:
            typer.echo(f"error: the file is not UTF-8 text: {exc.reason}", err=True)
            raise typer.Exit(1) from exc


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("tuner"))
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="TUNER_URL", help="Server [default: http://127.0.0.1:8700].", show_default=False
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="TUNER_TOKEN",
            help="Token [default: the one stored on this machine]. Better given by TUNER_TOKEN.",
            show_default=False,
        ),
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            envvar="TUNER_CA",
            help="Authority that signed the server's certificate, PEM [default: the system's].",
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but data.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Tune the training of neural networks."""
    ctx.obj = Session(url=url, token=token, ca=ca, quiet=quiet)


studies.register(app)
convert.register(app)
adopt.register(app)
trial.register(app)
doctor.register(app)
reproduce.register(app)
reporting.register(app)
logs.register(app)
artifacts.register(app)
watch.register(app)
events.register(app)
control.register(app)
change.register(app)
finish.register(app)
predict.register(app)
by_hand.register(app)
nodes.register(app)
access.register(app)
projects.register(app)
webhook.register(app)
database.register(app)
db.register(app)
