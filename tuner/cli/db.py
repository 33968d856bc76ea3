"""Commands that look after a database: upgrade, backup, restore, check, prune."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tuner.cli.context import JsonOption, session
from tuner.cli.database import DbOption, server_module
from tuner.cli.exits import FAILURE, NO_SUCCESS
from tuner.cli.output import count, print_json_line
from tuner.cli.prune import prune
from tuner.errors import OwnerLost

SHOWN = 20
"""Findings of one rule that are shown in full."""

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    db = typer.Typer(no_args_is_help=True, help="Look after the database.", rich_markup_mode=None)
    for command in (upgrade, backup, restore, check, prune):
        db.command()(command)
    app.add_typer(db, name="db")


def upgrade(ctx: typer.Context, db: DbOption = None) -> None:
    """Bring a database to this version's schema."""
    done = server_module("storage.upgrade").upgrade(_url(db))
    schema = f"schema-{done.before.head}"
    if done.older is not None:
        kept = f", kept as {done.kept}" if done.kept else ""
        said = f"the database was upgraded from {done.older} to {schema}{kept}"
    elif done.before.found is None:
        said = f"tables of {schema} were created"
    else:
        said = f"the database is up to date ({schema})"
    session(ctx).say(said)


def backup(
    ctx: typer.Context,
    file: FileArgument,
    db: DbOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
) -> None:
    """Write a consistent copy of a database to FILE, while its server runs.

    PostgreSQL is dumped by pg_dump. Checkpoint files are not in it: copy their folder before and
    after.
    """
    size = server_module("storage.backup").backup(_url(db), file, force=force)
    session(ctx).say(f"{file}: {_size(size)}")


def restore(
    ctx: typer.Context,
    file: FileArgument,
    db: DbOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a database that holds studies.")
    ] = False,
) -> None:
    """Put a backup in the place of a database that no server uses, whole or not at all.

    Leases from before are void, and trials that ran go on from their checkpoints.
    """
    say = session(ctx).say
    try:
        done = server_module("storage.backup").restore(_url(db), file, force=force)
    except OwnerLost as exc:
        typer.echo(f"error: {exc.detail}", err=True)
        typer.echo("hint: stop it, restore, and start it again; a backup needs no stop", err=True)
        raise typer.Exit(FAILURE) from exc
    say(f"restored {count(done.studies, 'study', 'studies')}")
    say("if no other server uses its artifact store, remove tuner-store.txt there; until then the")
    say("server deletes nothing in it")
    if done.outdated:
        say("the backup is an older version's: run `tuner db upgrade` before you start the server")


def check(
    ctx: typer.Context,
    *,
    db: DbOption = None,
    artifacts: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", envvar="TUNER_ARTIFACTS",
            help="Folder or store of checkpoints and other files [default: the server's own].",
            show_default=False,
        ),
    ] = None,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Read all files and compare their SHA-256.")
    ] = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Look whether a database is sound, while its server runs; exit code 6 if not.

    Any other exit code but 0 says that it could not be looked at.

    Checks the database's own integrity, then what must hold between its rows, then whether the
    kept checkpoints and artifacts are there. Files that no row names are counted.
    """
    url, say = _url(db), session(ctx).say
    storage_check = server_module("storage.check")
    place = artifacts or server_module("api.serve").artifact_folder(url)
    absent = artifacts is None and not Path(place).is_dir()
    store = None if absent else server_module("storage.stores").open_store(place)
    findings = storage_check.check(url, artifacts=store, hashes=hashes)
    if absent:
        say(f"no folder {place}: files were not looked at (--artifacts PLACE)")
    elif spare := storage_check.spare_files(url, store):
        say(f"{count(spare, 'file')} that no trial names; the server deletes those of its own")
    if as_json:
        print_json_line({"sound": not findings, "findings": [vars(f) for f in findings]})
    else:
        _print(findings)
        say("sound" if not findings else count(len(findings), "finding"))
    if findings:
        raise typer.Exit(NO_SUCCESS)


def _print(findings: Sequence[Any]) -> None:
    seen: dict[str, int] = {}
    for finding in findings:
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        if seen[finding.rule] <= SHOWN:
            typer.echo(str(finding))
    for rule, found in seen.items():
        if found > SHOWN:
            typer.echo(f"{rule}: {found - SHOWN} more, shown by --json")


def _url(db: str | None) -> str:
    from tuner import home

    return db or home.database_url()


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
