"""The command that changes a live study: its priority, parallel limit and space."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, session, study
from tuner.cli.output import print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(change)


def change(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    space: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Parameters with other ranges or choices, as in a study document.",
        ),
    ] = None,
    priority: Annotated[int | None, typer.Option(help="Higher ones go first.")] = None,
    parallel: Annotated[int | None, typer.Option(min=1, help="Trials at once.")] = None,
    if_match: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="Only if the study still has this version (show --json)."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change a live study: its priority, how many trials run at once, or its space.

    Ranges may become narrower or wider, choices fewer or more. Earlier trials keep what they ran
    with; waiting ones that lie outside are cancelled.
    """
    if space is None and priority is None and parallel is None:
        raise typer.BadParameter("give --space, --priority or --parallel")
    changed = None if space is None else _space(space)
    with study(ctx, name) as handle:
        handle.change(space=changed, priority=priority, parallel=parallel, if_match=if_match)
    if as_json:
        print_json(handle.view)
        return
    session(ctx).say(f"{handle.name}: changed, now version {handle.version}")


def _space(file: Path) -> dict[str, Any]:
    """Read a file that holds parameters, or a study document with a section `space`."""
    from tuner.errors import InvalidInput
    from tuner.spec.read import parse_json, parse_yaml

    text = file.read_text(encoding="utf-8")
    found = parse_json(text) if file.suffix == ".json" else parse_yaml(text)
    if isinstance(found, dict) and isinstance(found.get("space"), dict) and "run" in found:
        found = found["space"]
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} holds no mapping of parameters")
    return found
