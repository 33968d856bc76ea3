"""`tuner webhook`: receivers that the server tells of events."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner.cli.context import JsonOption, client, session
from tuner.cli.exits import FAILURE
from tuner.cli.output import cell, print_json, print_table

webhook = typer.Typer(
    help="Tell other services what happens. For admins.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
IdArgument = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Id of a webhook.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(webhook, name="webhook")


@webhook.command()
def create(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where to POST, by https.")],
    *,
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EVENT",
            help="Event to tell of, such as study.finished; repeatable "
            "[default: the ends of studies, and failed trials].",
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Only studies of this project.", show_default=False)
    ] = None,
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="Only this study.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a receiver what happens from now on; print its id and the secret that signs.

    The secret is not shown again.
    """
    from tuner.webhook import USUAL

    with client(ctx) as server:
        made = server.webhooks.create(url, events=event or USUAL, project=project, study=study)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.id} {made.secret}")
    session(ctx).say("the secret is not shown again")


@webhook.command("list")
def list_(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the webhooks."""
    with client(ctx) as server:
        views = server.webhooks.list()
    if as_json:
        print_json(views)
        return
    columns = ("id", "url", "events", "of", "active", "failed", "reason")
    rows = [
        (
            w.id,
            w.url,
            ",".join(w.events),
            w.project if w.study is None else f"study {w.study}",
            "yes" if w.active else "no",
            w.attempts,
            w.reason or None,
        )
        for w in views
    ]
    print_table(columns, rows)


@webhook.command("test")
def try_out(ctx: typer.Context, webhook_id: IdArgument, as_json: JsonOption = False) -> None:
    """Send a message that tells of nothing; fail if it is not taken."""
    with client(ctx) as server:
        tried = server.webhooks.test(webhook_id)
    if as_json:
        print_json(tried)
    elif tried.delivered:
        session(ctx).say(f"delivered in {tried.took_ms} ms: {tried.status}")
    else:
        typer.echo(f"error: not delivered: {cell(tried.error)}", err=True)
    if not tried.delivered:
        raise typer.Exit(FAILURE)


@webhook.command()
def enable(
    ctx: typer.Context,
    webhook_id: IdArgument,
    from_now: Annotated[
        bool, typer.Option("--from-now", help="Leave out what happened meanwhile.")
    ] = False,
) -> None:
    """Switch a webhook on again; it goes on where it ended."""
    from tuner.wire import ChangeWebhook

    with client(ctx) as server:
        server.webhooks.change(webhook_id, ChangeWebhook(active=True, from_now=from_now))
    session(ctx).say(f"{webhook_id}: active")


@webhook.command()
def disable(ctx: typer.Context, webhook_id: IdArgument) -> None:
    """Switch a webhook off."""
    from tuner.wire import ChangeWebhook

    with client(ctx) as server:
        server.webhooks.change(webhook_id, ChangeWebhook(active=False))
    session(ctx).say(f"{webhook_id}: not active")


@webhook.command()
def remove(ctx: typer.Context, webhook_id: IdArgument) -> None:
    """Remove a webhook."""
    with client(ctx) as server:
        server.webhooks.remove(webhook_id)
    session(ctx).say(f"{webhook_id}: removed")


@webhook.command()
def deliveries(
    ctx: typer.Context,
    webhook_id: IdArgument,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Attempts to list.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the last attempts to deliver, newest first."""
    with client(ctx) as server:
        found = server.webhooks.deliveries(webhook_id, limit)
    if as_json:
        print_json(found)
        return
    columns = ("at", "event", "message", "attempt", "status", "ms", "error")
    print_table(
        columns,
        [
            (d.at, d.event, d.message, d.attempt, d.status, d.took_ms, d.error or None)
            for d in found
        ],
    )
