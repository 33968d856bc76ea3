"""Commands that need the server's code: `serve`, and `demo`, which serves too."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from tuner.cli.context import session
from tuner.cli.exits import FAILURE

DbOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        envvar="TUNER_DB",
        help="sqlite:///FILE or postgresql+psycopg://... [default: SQLite in your data folder]",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(serve)
    app.command()(demo)


def serve(
    *,
    db: DbOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8700,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy in front of it ends TLS.")
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name clients may use for this server; repeatable."),
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for checkpoints [default: beside the database].",
            show_default=False,
        ),
    ] = None,
    standby: Annotated[
        bool,
        typer.Option("--standby", help="Wait while another server owns the database; then serve."),
    ] = False,
    lease: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long a lease lasts.")
    ] = 30.0,
    heartbeat: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="Time between two heartbeats.")
    ] = 10.0,
    sweep: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="Time between two sweeps.")
    ] = 5.0,
    log_format: Annotated[
        Literal["text", "json"], typer.Option(help="Form of the log on standard error.")
    ] = "text",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="Least level that is logged; info has a line for each request."),
    ] = "info",
) -> None:
    """Serve the API. The first start makes an admin token and prints it."""
    if not heartbeat < lease:
        raise typer.BadParameter("--heartbeat must be shorter than --lease")
    server_module("api.serve").serve(
        db=db,
        host=host,
        port=port,
        behind_proxy=behind_proxy,
        allowed_hosts=tuple(allowed_host or ()),
        artifacts=artifacts,
        standby=standby,
        lease_s=lease,
        heartbeat_s=heartbeat,
        sweep_s=sweep,
        log_format=log_format,
        log_level=log_level,
    )


def demo(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one.")
    ] = 0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Serve on until Ctrl-C when the study is over.")
    ] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials, instead of the example's own number.")
    ] = None,
) -> None:
    """Tune a small network and show what came out.

    Serves on an empty database in a temporary folder and starts two workers.
    """
    server_module("api.serve")
    from tuner.cli.demo import run_demo

    raise typer.Exit(run_demo(port=port, keep=keep, trials=trials, say=session(ctx).say))


def server_module(name: str) -> ModuleType:
    """Load a module of the server's, or say how to install it."""
    from tuner import _server_path

    try:
        return _server_path.load(name)
    except ModuleNotFoundError as exc:
        typer.echo(f"error: {exc.name} is missing, which the server needs", err=True)
        typer.echo("hint: pip install 'tuner[server]'", err=True)
        raise typer.Exit(FAILURE) from exc
