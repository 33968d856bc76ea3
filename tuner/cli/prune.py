"""`tuner db prune`: deletes studies that ended long ago, through the server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.context import JsonOption, client, session
from tuner.cli.output import count, print_json, print_table
from tuner.cli.question import confirm

if TYPE_CHECKING:
    from tuner.client import Client, StudyHandle

_AGE = re.compile(r"([1-9][0-9]{0,4})([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}


def prune(
    ctx: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Time since the end: 12h, 90d, 4w.")
    ],
    study: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this study, by id or name; repeatable."),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="Only studies of this project.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete studies that ended longer ago than AGE, with their trials, events and checkpoints.

    Goes through the server, which runs on. Shows the studies, and asks.
    """
    before = datetime.now(UTC) - age(older_than)
    with client(ctx) as server:
        found = [s for s in _chosen(server, study or []) if _is_due(s, before, project)]
        if as_json:
            print_json([s.view for s in found])
        elif found:
            _show(found)
        if not found:
            session(ctx).say(f"no study ended longer ago than {older_than}")
        elif not dry_run:
            if not yes:
                _confirm(found)
            for handle in found:
                handle.delete()
            session(ctx).say(f"deleted {_studies(found)}")


def age(text: str) -> timedelta:
    """Read `12h`, `90d` or `4w`."""
    found = _AGE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r} is no age: give hours, days or weeks, as 12h, 90d, 4w",
            param_hint="'--older-than'",
        )
    return timedelta(hours=int(found[1]) * _HOURS[found[2]])


def _chosen(server: Client, names: Sequence[str]) -> Iterator[StudyHandle]:
    if names:
        return (server.study(name) for name in names)
    return server.studies()


def _is_due(study: StudyHandle, before: datetime, project: str | None) -> bool:
    view = study.view
    if project is not None and view.spec.get("queue", {}).get("project") != project:
        return False
    return study.is_over and view.ended_at is not None and view.ended_at < before


def _show(found: Sequence[StudyHandle]) -> None:
    columns = ("id", "name", "state", "ended", "trials", "steps")
    views = [s.view for s in found]
    print_table(
        columns,
        [(v.id, v.name, v.state, v.ended_at, sum(v.counts.values()), v.steps_done) for v in views],
    )


def _confirm(found: Sequence[StudyHandle]) -> None:
    trials = sum(sum(s.view.counts.values()) for s in found)
    question = f"Delete {_studies(found)} with {count(trials, 'trial')} for good?"
    confirm(f"{_studies(found)} would be deleted", question, otherwise="nothing was deleted")


def _studies(found: Sequence[StudyHandle]) -> str:
    return count(len(found), "study", "studies")
