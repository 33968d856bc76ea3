"""The command for what comes after a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, client, session
from tuner.cli.exits import NO_SUCCESS
from tuner.cli.output import count, fresh_seeds, print_json, result_of
from tuner.trial import StudyState

if TYPE_CHECKING:
    from tuner.client import Client, StudyHandle
    from tuner.wire import StudyView


OVER = (StudyState.FINISHED, StudyState.CANCELLED)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(finish)


def finish(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    finalists: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Best configurations to run again [default: 3]."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, max=100, help="Fresh seeds that each gets [default: 5].")
    ] = None,
    choose: Annotated[
        str | None,
        typer.Option(metavar="mean|worst|mean_minus_std", help="What of them decides."),
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Average the networks of the N best configurations."),
    ] = None,
    ensemble_seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Average the best configuration on N fresh seeds."),
    ] = None,
    snapshots: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Average N networks of one cyclic training."),
    ] = None,
    data_doctor: Annotated[
        bool, typer.Option("--data-doctor", help="Look for wrong training labels.")
    ] = False,
    neighbours: Annotated[
        bool,
        typer.Option("--neighbours", help="Let nearest training rows decide in doubt."),
    ] = False,
    below: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="With --neighbours: in doubt below this probability [default: 0.5].",
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Run the best again as a new study: has the world drifted?"),
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="FILE", help="With --again: another file for a table.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all of it is over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Do what comes after a search; by default run the best again on fresh seeds.

    A study that is over searches no further; one that runs does this once its search ends. An
    ensemble, the data doctor and neighbours are for built-in tasks; each is a study of its own,
    which workers run as any other.

    With --again, on newer data: a study of its own runs the best configurations beside others, and
    says whether they still are the best. With --wait it ends with 6 if a new search pays.
    """
    after = _after(ensemble, ensemble_seeds, snapshots)
    after |= {"data_doctor": {}} if data_doctor else {}
    after |= {"neighbours": {} if below is None else {"below": below}} if neighbours else {}
    if below is not None and not neighbours:
        raise typer.BadParameter("goes with --neighbours", param_hint="--below")
    if data is not None and not again:
        raise typer.BadParameter("goes with --again", param_hint="--data")
    if again and (after or choose is not None):
        raise typer.BadParameter(
            "goes with --finalists, --seeds, --data and --wait", param_hint="--again"
        )
    with client(ctx) as server:
        handle = server.study(name)
        if again:
            made = handle.again(top=finalists or 3, seeds=seeds or 5, data=data)
            _show_again(ctx, made, wait=wait, as_json=as_json)
            return
        given = {"finalists": finalists, "seeds": seeds, "choose": choose}
        handle.finish(_repeats(handle.view.spec, given, others=bool(after)), after or None)
        if wait:
            _wait(ctx, server, handle)
        _show(ctx, server, handle, as_json=as_json)


def _after(top: int | None, seeds: int | None, snapshots: int | None) -> dict[str, Any]:
    """Return the ensemble that is asked for."""
    given = {"top": top, "seeds": seeds, "snapshots": snapshots}
    wish = {name: size for name, size in given.items() if size is not None}
    if len(wish) > 1:
        raise typer.BadParameter(
            "give one of --ensemble, --ensemble-seeds and --snapshots", param_hint="--ensemble"
        )
    return {"ensemble": wish} if wish else {}


def _repeats(spec: dict[str, Any], given: dict[str, Any], *, others: bool) -> dict[str, Any] | None:
    """Return what to run again; nothing if only something else was asked for."""
    wanted = {key: value for key, value in given.items() if value is not None}
    if not wanted and others:
        return None
    return {**(spec.get("repeats") or {}), **wanted}


def _wait(ctx: typer.Context, server: Client, handle: StudyHandle) -> None:
    from tuner.cli.watch import follow

    follow(ctx, handle)
    for view in handle.followers():
        follow(ctx, server.study(str(view.id)))
    handle.refresh()


def _show(ctx: typer.Context, server: Client, handle: StudyHandle, *, as_json: bool) -> None:
    if as_json:
        print_json(handle.view)
        return
    say, view = session(ctx).say, handle.view
    waiting, followers = view.counts.get("waiting", 0), handle.followers()
    if waiting:
        say(f"{view.name}: {view.state}, {count(waiting, 'run')} to come")
    elif not handle.is_over:
        say(f"{view.name}: {view.state}; this follows once its search has ended")
    elif not followers:
        say(f"{view.name}: {view.state}; all that was asked for is there")
    for row in view.finalists if not waiting else ():
        typer.echo(f"trial {row.number}: {fresh_seeds(row)}")
    for other in followers:
        text = _came_of(server, other)
        if text is None:
            say(f"followed by {other.name} (study {other.id}, {other.state})")
        else:
            typer.echo(f"{other.name}: {text}")


def _came_of(server: Client, other: StudyView) -> str | None:
    """Return what a study that follows found, None before it is over."""
    if other.state not in OVER:
        return None
    if other.drift is not None:
        return other.drift.text
    return result_of(server.study(str(other.id)))


def _show_again(ctx: typer.Context, made: StudyHandle, *, wait: bool, as_json: bool) -> None:
    from tuner.cli.watch import follow, verdict

    say = session(ctx).say
    if not as_json:
        say(f"study {made.id} ({made.name}) runs the best again")
    if wait:
        follow(ctx, made)
    found = made.view.drift
    if as_json:
        print_json(made.view)
    elif wait and found is not None:
        typer.echo(found.text)
    else:
        say(f"once it is over, `tuner show {made.name}` says whether they still are the best")
    if wait:
        pays = found is not None and found.pays
        raise typer.Exit(NO_SUCCESS if pays else verdict(ctx, made.view))
