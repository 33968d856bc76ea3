"""Commands by hand: stop one trial, halve its rate, note, tag, pin."""

from __future__ import annotations

from typing import Annotated

import typer

from tuner.cli.context import JsonOption, StudyArgument, session, study
from tuner.cli.output import print_json
from tuner.cli.question import confirm

Number = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")]
Why = Annotated[str, typer.Option("--why", help="Kept with the event.", show_default=False)]
OfTrial = Annotated[
    int | None, typer.Option("--trial", min=0, help="One of its trials instead of the study.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("stop-trial")(stop_trial)
    for command in (halve, note, tag, pin):
        app.command()(command)


def stop_trial(
    ctx: typer.Context,
    name: StudyArgument,
    number: Number,
    why: Why = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End one trial as cancelled; what runs it is told by its next report."""
    with study(ctx, name) as handle:
        if not yes:
            would = f"trial {number} of study {handle.name!r} would be ended"
            confirm(would, f"{would}. Go on?")
        handle.stop_trial(number, why)
    session(ctx).say(f"{handle.name}: trial {number} is stopped")


def halve(
    ctx: typer.Context,
    name: StudyArgument,
    number: Number,
    factor: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="What the rate is multiplied by.")
    ] = 0.5,
    why: Why = "",
) -> None:
    """Halve a running trial's learning rate by hand, from its next report on."""
    with study(ctx, name) as handle:
        view = handle.halve(number, factor, why=why)
    level = f"{view.lr_factor:g} of its start"
    session(ctx).say(f"{handle.name}: trial {number} goes on with its rate at {level}")


def note(
    ctx: typer.Context,
    name: StudyArgument,
    text: Annotated[
        str | None, typer.Argument(help='The note; "" removes it [default: show it].')
    ] = None,
    trial: OfTrial = None,
    as_json: JsonOption = False,
) -> None:
    """Note something on a study or a trial, or show what is noted."""
    with study(ctx, name) as handle:
        remark = handle.remark(trial) if text is None else handle.note(text, trial=trial)
    if as_json:
        print_json(remark)
    elif text is None:
        typer.echo(remark.text)
    else:
        session(ctx).say(f"{handle.name}: {'noted' if remark.text else 'the note is gone'}")


def tag(
    ctx: typer.Context,
    name: StudyArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="TAG...", help="To add.")] = None,
    *,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="To take away.")
    ] = None,
    trial: OfTrial = None,
    as_json: JsonOption = False,
) -> None:
    """Add tags to a study or a trial, or take some away, and print what it has then."""
    with study(ctx, name) as handle:
        remark = handle.remark(trial)
        if tags or remove:
            wanted = ({*remark.tags} | {*(tags or [])}) - {*(remove or [])}
            remark = handle.note(tags=sorted(wanted), trial=trial, if_match=remark.version)
    if as_json:
        print_json(remark)
        return
    for one in remark.tags:
        typer.echo(one)


def pin(
    ctx: typer.Context,
    name: StudyArgument,
    off: Annotated[bool, typer.Option("--off", help="Take the pin away.")] = False,
) -> None:
    """Pin a study: the dashboard lists it first, for everybody."""
    with study(ctx, name) as handle:
        handle.note(pinned=not off)
    session(ctx).say(f"{handle.name}: {'not pinned' if off else 'pinned'}")
