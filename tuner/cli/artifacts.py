"""The command that lists and downloads what a trial keeps: artifacts and checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.context import JsonOption, StudyArgument, session, study
from tuner.cli.exits import FAILURE
from tuner.cli.output import count, print_json, print_table

if TYPE_CHECKING:
    from tuner.client.record import KeptFile

_SHORT = 12


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(artifacts)


def artifacts(
    ctx: typer.Context,
    name: StudyArgument,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    *,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Kept checkpoints instead of artifacts.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this file, or those in this folder; repeatable."),
    ] = None,
    download: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the files below DIR.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what a trial keeps, or download it.

    A file that exists below DIR already is left as it is.
    """
    with study(ctx, name) as handle:
        trial = handle.trial(number)
        found = trial.checkpoints() if checkpoints else trial.artifacts()
        chosen = [f for f in found if _is_wanted(f.name, only or [])]
        if as_json:
            print_json([f.view for f in chosen])
        elif download is None:
            _show(chosen)
        if download is not None:
            _download(ctx, chosen, download)


def _is_wanted(name: str, only: list[str]) -> bool:
    return not only or any(name == o or name.startswith(f"{o.rstrip('/')}/") for o in only)


def _show(found: list[KeptFile]) -> None:
    rows = [
        (f.name, f.size, _marks(f), f.view.attempt, f.view.at, f.sha256[:_SHORT]) for f in found
    ]
    print_table(("name", "bytes", "mark", "attempt", "at", "sha256"), rows)


def _marks(file: KeptFile) -> str:
    return " ".join(mark for mark in ("last", "best") if getattr(file.view, mark, False))


def _download(ctx: typer.Context, found: list[KeptFile], folder: Path) -> None:
    written, there = 0, 0
    for file in found:
        try:
            path = file.download(folder)
        except FileExistsError as exc:
            session(ctx).say(f"{exc}, and is left as it is")
            there += 1
        else:
            written += 1
            session(ctx).say(f"{path}: {file.size} bytes")
    session(ctx).say(f"downloaded {count(written, 'file')}")
    if there:
        raise typer.Exit(FAILURE)
