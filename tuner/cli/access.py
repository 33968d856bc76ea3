"""Commands for admins: `tuner token` makes and revokes tokens, `tuner audit` shows who did what."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.access import Role
from tuner.cli.context import JsonOption, client, session
from tuner.cli.output import print_json, print_table

if TYPE_CHECKING:
    from tuner.wire import AuditView

_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

TokenArgument = Annotated[str, typer.Argument(metavar="TOKEN", help="Id or name of a token.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    token = typer.Typer(
        no_args_is_help=True, help="Make, list and revoke tokens.", rich_markup_mode=None
    )
    token.command()(create)
    token.command("list")(list_tokens)
    token.command()(revoke)
    app.add_typer(token, name="token")
    app.command()(audit)


def create(
    ctx: typer.Context,
    *,
    role: Annotated[Role, typer.Option(help="What the token is for.")],
    name: Annotated[str, typer.Option(help="Whose it is; no two tokens share a name.")],
    project: Annotated[
        str | None, typer.Option(help="Reach only studies of this project.", show_default=False)
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN", help="Time until it expires: 12h, 30d, 8w.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print its secret, which is shown this once and stored nowhere."""
    expires_s = None if expires is None else span(expires)
    with client(ctx) as found:
        made = found.create_token(name, role, project=project, expires_s=expires_s)
    session(ctx).say(f"token {made.token_id} of {made.name}: keep it, it is not shown again")
    print_json(made) if as_json else typer.echo(made.secret)


def list_tokens(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """List the tokens, without their secrets."""
    with client(ctx) as found:
        views = found.tokens()
    if as_json:
        print_json(views)
        return
    columns = ("id", "name", "role", "project", "created", "by", "expires")
    print_table(
        columns,
        [
            (
                t.token_id,
                t.name,
                t.role,
                t.project,
                t.created_at,
                t.created_by,
                "expired" if t.expired else t.expires_at,
            )
            for t in views
        ],
    )


def revoke(ctx: typer.Context, token: TokenArgument) -> None:
    """Make a token void at once, with the sessions opened with it."""
    with client(ctx) as found:
        gone = found.revoke_token(token)
    session(ctx).say(f"revoked {gone.token_id} of {gone.name}")


def audit(
    ctx: typer.Context,
    *,
    study: Annotated[
        str | None, typer.Option(help="Only this study, by id or name.", show_default=False)
    ] = None,
    who: Annotated[
        str | None, typer.Option(help="Only the token of this name.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this: submit, change, log-in.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries to show.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show who did what to which study, newest first."""
    with client(ctx) as found:
        entries = list(islice(found.audit(study=study, who=who, action=action), limit))
    if as_json:
        print_json(entries)
        return
    columns = ("at", "who", "address", "action", "study", "detail")
    print_table(columns, [(e.at, e.who, e.address, e.action, e.study, _words(e)) for e in entries])


def span(text: str) -> int:
    """Read `90s`, `12h`, `30d` or `8w` as seconds."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no span of time: give 12h, 30d, 8w", param_hint="'--expires'"
        )
    return int(found[1]) * _SECONDS[found[2]]


def _words(entry: AuditView) -> str | None:
    given = {key: value for key, value in entry.detail.items() if value is not None}
    return " ".join(f"{key}={value}" for key, value in given.items()) or None
