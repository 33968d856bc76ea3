"""The command for what comes after a search."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, session, study
from tuner.cli.output import count, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(finish)


def finish(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    finalists: Annotated[
        int | None, typer.Option(min=1, help="Best configurations to run again [default: 3].")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=2, help="Fresh seeds that each gets [default: 5].")
    ] = None,
    ensemble: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Average the networks of the N best configurations."),
    ] = None,
    ensemble_seeds: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Average the best configuration on N fresh seeds."),
    ] = None,
    data_doctor: Annotated[
        bool, typer.Option("--data-doctor", help="Look for wrong training labels.")
    ] = False,
    neighbours: Annotated[
        bool,
        typer.Option("--neighbours", help="Let nearest training rows decide in doubt."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Do what comes after a search; by default run the best again on fresh seeds.

    A study that is over searches no further; one that runs does this once its search ends. An
    ensemble, the data doctor and neighbours are for built-in tasks; each is a study of its own,
    which workers run as any other.
    """
    if ensemble is not None and ensemble_seeds is not None:
        raise typer.BadParameter("not with --ensemble-seeds", param_hint="--ensemble")
    after: dict[str, Any] = {}
    if ensemble is not None or ensemble_seeds is not None:
        after["ensemble"] = (
            {"top": ensemble} if ensemble_seeds is None else {"seeds": ensemble_seeds}
        )
    after |= {"data_doctor": {}} if data_doctor else {}
    after |= {"neighbours": {}} if neighbours else {}
    with study(ctx, name) as handle:
        repeats = _repeats(handle.view.spec, finalists, seeds, others=bool(after))
        handle.finish(repeats, after or None)
        waiting = handle.view.counts.get("waiting", 0)
        followers = handle.followers()
    if as_json:
        print_json(handle.view)
        return
    session(ctx).say(f"{handle.name}: {handle.state}, {count(waiting, 'run')} to come")
    for view in followers:
        session(ctx).say(f"followed by {view.name} (study {view.id}, {view.state})")


def _repeats(
    spec: dict[str, Any], finalists: int | None, seeds: int | None, *, others: bool
) -> dict[str, int] | None:
    """Return what to run again; nothing if only something else was asked for."""
    given = {"finalists": finalists, "seeds": seeds}
    wanted = {key: value for key, value in given.items() if value is not None}
    if not wanted and others:
        return None
    return {**(spec.get("repeats") or {}), **wanted}
