"""What happened, and what happens: `tuner events`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.context import JsonOption, client, complete_study
from tuner.cli.output import print_json_line

if TYPE_CHECKING:
    from tuner.wire import EventView


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(events)


def events(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Id or name of a study [default: all].",
            autocompletion=complete_study,
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    after: Annotated[
        int, typer.Option(min=0, metavar="SEQ", help="Only events after this one.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Print events, a line each. With --follow none is missed while the server is away."""
    with client(ctx) as found:
        for event in found.past_events(name, after):
            _print(event, as_json)
            after = event.seq
        if follow:
            for event in found.events(name, after):
                _print(event, as_json)


def _print(event: EventView, as_json: bool) -> None:
    if as_json:
        print_json_line(event.model_dump(mode="json"))
        return
    place = [f"study {event.study_id}"]
    if event.number is not None:
        place.append(f"trial {event.number}")
    if event.step is not None:
        place.append(f"step {event.step}")
    data = json.dumps({k: v for k, v in event.data.items() if v is not None}, default=str)
    at = event.at.isoformat(timespec="seconds")
    typer.echo(f"{event.seq}  {at}  {' '.join(place)}  {event.kind}  {data}")
