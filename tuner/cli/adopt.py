"""The command that takes over a study of plain Optuna."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, Session, client, session
from tuner.cli.database import server_module
from tuner.cli.output import print_json, print_yaml
from tuner.errors import DuplicateName, InvalidInput, ServerUnreachable, Unavailable

if TYPE_CHECKING:
    from tuner.wire import StudyView


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("import")(import_study)


def import_study(
    ctx: typer.Context,
    *,
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Where Optuna keeps it: sqlite:///FILE, postgresql://..., a file."
        ),
    ],
    name: Annotated[str, typer.Option("--study", metavar="NAME", help="The study's name there.")],
    new_name: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="Its name here [default: the same]."),
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Sections of a study document that count instead of what is inferred.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what the study would be.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Adopt a study made by plain Optuna, and go on with it.

    Reads it here with Optuna and sends it to the server: all trials with their curves and times.
    Its further trials are asked for as those of any study with `run: external`, unless the document
    says otherwise.
    """
    adopting = server_module("storage.adopting")
    given = None if document is None else _sections(document)
    say = session(ctx).say
    source = adopting.read(url, name)
    plan = adopting.plan(source, new_name or name, given)
    with _another_name():
        batches = adopting.batches(plan, datetime.now(UTC))
    told = _counted(plan.counts)
    with client(ctx) as found:
        if dry_run:
            checked = found.adopt_dry_run(plan.document)
            _warn(session(ctx), checked.warnings)
            _notes(session(ctx), plan.notes)
            print_json(checked) if as_json else print_yaml(checked.spec)
            say(f"would adopt {told}")
            return
        try:
            handle = found.adopt(
                plan.document,
                batches,
                source=source.place,
                user_attrs=adopting.tellable(source.user_attrs),
                told=_progress(session(ctx), len(source.trials)) if len(batches) > 1 else None,
            )
        except DuplicateName as exc:
            message = f"the name {new_name or name!r} is taken in the server's database"
            raise DuplicateName(f"{message}: choose another by --as", **exc.extra) from exc
        except (ServerUnreachable, Unavailable) as exc:
            message = f"{exc.detail}; the same command goes on where this one ended"
            raise type(exc)(message, **exc.extra) from exc
    _notes(session(ctx), plan.notes)
    _warn(session(ctx), handle.view.warnings)
    print_json(handle.view) if as_json else typer.echo(handle.id)
    say(f"adopted {told}")
    _next_step(session(ctx), handle.view)


@contextmanager
def _another_name() -> Iterator[None]:
    try:
        yield
    except InvalidInput as exc:
        hint = "; choose another by --as"
        faults = [
            replace(f, message=f.message + hint) if f.where == "name" else f for f in exc.faults
        ]
        raise InvalidInput(exc.detail, faults) from exc


def _sections(file: Path) -> Mapping[str, Any]:
    from tuner.spec import parse_json, parse_yaml

    text = file.read_text(encoding="utf-8")
    found = parse_json(text) if file.suffix == ".json" else parse_yaml(text)
    if not isinstance(found, Mapping):
        raise InvalidInput(f"{file} holds no mapping of keys to values")
    return found


def _counted(counts: Mapping[str, int]) -> str:
    """Return `3 trials: 2 complete, 1 failed`."""
    total = sum(counts.values())
    words = {"fail": "failed"}
    parts = ", ".join(f"{n} {words.get(state, state)}" for state, n in counts.items() if n)
    return f"{total} trial{'' if total == 1 else 's'}" + (f": {parts}" if parts else "")


def _progress(options: Session, total: int) -> Callable[[int], None]:
    """Return what tells how far it is: at each tenth."""
    told = 0

    def tell(sent: int) -> None:
        nonlocal told
        if (tenth := 10 * sent // total) > told:
            told = tenth
            options.say(f"{sent} of {total} trials sent")

    return tell


def _notes(options: Session, notes: Sequence[str]) -> None:
    for note in notes:
        options.say(f"note: {note}")


def _warn(options: Session, warnings: list[str]) -> None:
    for warning in warnings:
        options.say(f"warning: {warning}")


def _next_step(options: Session, view: StudyView) -> None:
    if view.ended_at is not None:
        options.say(f"its budget is used up; to go on: tuner extend {view.name} --trials 50")
