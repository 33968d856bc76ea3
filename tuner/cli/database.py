"""Commands that need the server's code: `serve`, and `demo`, which serves too."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from tuner.cli.context import session
from tuner.cli.exits import FAILURE
from tuner.cli.limits import (
    ArtifactsEach,
    Connections,
    HeaderTimeout,
    IdleTimeout,
    LogBytes,
    MaxArtifact,
    Polls,
    PollsEach,
    Quotas,
    RateLimit,
    StreamHeartbeat,
    StreamQueue,
    Streams,
    StreamsEach,
    WorkerRateLimit,
    WrongTokens,
)

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
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate with its chain, PEM.", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The certificate's key, PEM.", show_default=False),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Name clients may use for this server; repeatable."),
    ] = None,
    webhook_allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Host webhooks may lead to though it is not public, by http too; repeatable.",
        ),
    ] = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            envvar="TUNER_ARTIFACTS",
            help="Folder or store (s3://BUCKET/PREFIX) for checkpoints and other files of trials "
            "[default: a folder beside an SQLite file, else in your data folder].",
            show_default=False,
        ),
    ] = None,
    artifact_endpoint: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where workers reach an s3:// store, if not where the server does.",
            show_default=False,
        ),
    ] = None,
    direct: Annotated[
        bool, typer.Option(help="Whether workers may exchange files with an s3:// store directly.")
    ] = True,
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
    rate_limit: RateLimit = 100.0,
    worker_rate_limit: WorkerRateLimit = 5000.0,
    header_timeout: HeaderTimeout = 10.0,
    idle_timeout: IdleTimeout = 30.0,
    connections: Connections = 4000,
    polls: Polls = 3000,
    polls_each: PollsEach = 2000,
    streams: Streams = 1000,
    streams_each: StreamsEach = 250,
    stream_heartbeat: StreamHeartbeat = 15.0,
    stream_queue: StreamQueue = 1_000_000,
    wrong_tokens: WrongTokens = 10,
    log_bytes: LogBytes = 524_288,
    max_artifact: MaxArtifact = 5_000_000_000,
    artifacts_each: ArtifactsEach = 1000,
    quota: Quotas = None,
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
    if (tls_cert is None) != (tls_key is None):
        raise typer.BadParameter("--tls-cert and --tls-key go together")
    server = server_module("api.serve")
    server.serve(
        db=db,
        host=host,
        port=port,
        behind_proxy=behind_proxy,
        allowed_hosts=tuple(allowed_host or ()),
        tls=server.Tls(cert=tls_cert, key=tls_key) if tls_cert else None,
        webhook_hosts=tuple(webhook_allow_host or ()),
        artifacts=artifacts,
        artifact_endpoint=artifact_endpoint,
        direct=direct,
        standby=standby,
        lease_s=lease,
        heartbeat_s=heartbeat,
        sweep_s=sweep,
        quotas=tuple(quota or ()),
        limits={
            "rate": rate_limit,
            "rate_burst": 5 * rate_limit,
            "worker_rate": worker_rate_limit,
            "worker_burst": 4 * worker_rate_limit,
            "header_s": header_timeout,
            "idle_s": idle_timeout,
            "connections": connections,
            "polls": polls,
            "polls_each": polls_each,
            "wrong_tokens": wrong_tokens,
            "max_artifact": max_artifact,
            "artifacts_each": artifacts_each,
            "streams": streams,
            "streams_each": streams_each,
            "stream_heartbeat_s": stream_heartbeat,
            "stream_queue": stream_queue,
            "log_bytes": log_bytes,
        },
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
