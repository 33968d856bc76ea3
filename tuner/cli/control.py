"""Commands that change a study: pause, resume, stop, cancel, extend, clone, enqueue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, session, study
from tuner.cli.output import print_json
from tuner.cli.question import confirm

if TYPE_CHECKING:
    from tuner.client import StudyHandle


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (pause, resume, stop, cancel, extend, clone, enqueue):
        app.command()(command)


def pause(ctx: typer.Context, name: StudyArgument) -> None:
    """Start no further trial of a study; what runs goes on."""
    with study(ctx, name) as handle:
        _say_state(ctx, handle.pause())


def resume(ctx: typer.Context, name: StudyArgument) -> None:
    """Let a paused study go on."""
    with study(ctx, name) as handle:
        _say_state(ctx, handle.resume())


def stop(ctx: typer.Context, name: StudyArgument) -> None:
    """Finish a study after its running trials."""
    with study(ctx, name) as handle:
        _say_state(ctx, handle.stop())


def cancel(
    ctx: typer.Context,
    name: StudyArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End a study now and kill its running trials."""
    with study(ctx, name) as handle:
        if not yes:
            _confirm(handle)
        _say_state(ctx, handle.cancel())


def extend(
    ctx: typer.Context,
    name: StudyArgument,
    trials: Annotated[int, typer.Option(min=0, help="Trials to add.")] = 0,
    hours: Annotated[float, typer.Option(min=0.0, help="Hours to add.")] = 0.0,
) -> None:
    """Add to a study's budget; a finished study goes on."""
    if not trials and not hours:
        raise typer.BadParameter("give --trials or --hours")
    with study(ctx, name) as handle:
        _say_state(ctx, handle.extend(trials=trials, hours=hours))


def clone(
    ctx: typer.Context,
    name: StudyArgument,
    new_name: Annotated[
        str | None, typer.Option("--name", help="Name of the new study.", show_default=False)
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one place: budget.trials=100."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a study's document again and print the new study's id."""
    with study(ctx, name) as handle:
        made = handle.clone(new_name, nested(changes or []))
    print_json(made.view) if as_json else typer.echo(made.id)


def enqueue(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    params: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE...", help="Parameters; absent ones take their middle."),
    ] = None,
    like: Annotated[
        int | None, typer.Option(min=0, help="Take the other parameters from this trial.")
    ] = None,
    from_checkpoint: Annotated[
        bool, typer.Option("--from-checkpoint", help="Go on from the checkpoint of --like.")
    ] = False,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Step of that checkpoint [default: the newest one's]."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STUDY/TRIAL", help="Start from this trial's checkpoint instead."
        ),
    ] = None,
    anew: Annotated[
        bool | None,
        typer.Option(
            "--anew/--on",
            help="Count steps from 0, or on from the checkpoint [default: on within a study].",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a trial with these parameters next, and print its number."""
    values = dict(assignment(text) for text in params or [])
    if not values and like is None and source is None:
        raise typer.BadParameter("give NAME=VALUE, --like or --from")
    if from_checkpoint and like is None:
        raise typer.BadParameter("--from-checkpoint needs --like")
    if step is not None and not from_checkpoint and source is None:
        raise typer.BadParameter("--step needs --from-checkpoint or --from")
    if source is not None and from_checkpoint:
        raise typer.BadParameter("--from goes without --from-checkpoint")
    if anew is not None and source is None:
        raise typer.BadParameter("--anew and --on need --from")
    given = None if source is None else checkpoint_source(source, step, anew=anew)
    held = (like, step) if like is not None and step is not None else from_checkpoint
    with study(ctx, name) as handle:
        made = handle.enqueue(
            values, like=like, from_checkpoint=held if given is None else False, source=given
        )
    print_json(made) if as_json else typer.echo(made.number)


def checkpoint_source(text: str, step: int | None, *, anew: bool | None) -> dict[str, str | int]:
    """Read `STUDY/TRIAL`."""
    study_name, slash, number = text.rpartition("/")
    if not slash or not study_name or not number.isdecimal():
        raise typer.BadParameter(f"{text!r} is not STUDY/TRIAL", param_hint="--from")
    found: dict[str, str | int] = {"study": study_name, "trial": int(number)}
    if step is not None:
        found["step"] = step
    if anew is not None:
        found["steps"] = "anew" if anew else "on"
    return found


def assignment(text: str) -> tuple[str, Any]:
    """Read `name=value`, the value as YAML 1.2 would: `0.1`, `true`, `sgd`."""
    from tuner.errors import Malformed
    from tuner.spec.read import parse_yaml

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name, parse_yaml(value)
    except Malformed as exc:
        raise typer.BadParameter(f"{text!r}: {exc.detail}") from exc


def nested(assignments: list[str]) -> dict[str, Any]:
    """Return `a.b=1` as `{"a": {"b": 1}}`, several merged."""
    tree: dict[str, Any] = {}
    for text in assignments:
        path, value = assignment(text)
        *parents, last = path.split(".")
        at = tree
        for part in parents:
            at = at.setdefault(part, {})
            if not isinstance(at, dict):
                raise typer.BadParameter(f"{text!r} contradicts another --set")
        at[last] = value
    return tree


def _confirm(handle: StudyHandle) -> None:
    running = handle.view.counts.get("running", 0)
    confirm(
        f"study {handle.name!r} would be ended",
        f"End study {handle.name!r} and kill {running} running trials?",
    )


def _say_state(ctx: typer.Context, handle: StudyHandle) -> None:
    view = handle.view
    state = "stopping" if view.stopping is not None else view.state
    session(ctx).say(f"{view.name}: {state}")
