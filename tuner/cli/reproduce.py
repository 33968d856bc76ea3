"""The command that runs a recorded trial again and compares the curves."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, client, session
from tuner.cli.exits import FAILURE, NO_SUCCESS
from tuner.cli.output import count, print_json_line, print_table

if TYPE_CHECKING:
    from tuner.client import Client, StudyHandle
    from tuner.environment import Difference, What
    from tuner.reproduce import Comparison, Point, Recorded
    from tuner.wire import EnvironmentView

_MOST_ROWS = 30
_AROUND = 5


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(reproduce)


def reproduce(
    ctx: typer.Context,
    name: StudyArgument,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    *,
    checkout: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Restore the recorded code in DIR, a new git worktree, and run it there.",
        ),
    ] = None,
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Run it on the workers, as a study of its own.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare this environment with the recorded one.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Run the study's code here without asking.")
    ] = False,
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="Largest relative difference that counts as equal.")
    ] = 1e-6,
    as_json: JsonOption = False,
) -> None:
    """Run a trial again, with the decisions as they happened.

    Says first what differs from the recorded environment, then trains here, in this folder, without
    a worker, and compares the curves. Ends with 0 if they are equal, with 6 if not.
    """
    if enqueue and (checkout is not None or check):
        raise typer.BadParameter("goes without --checkout and --check", param_hint="--enqueue")
    with client(ctx) as server:
        handle = server.study(name)
        from tuner.reproduce import compare, recorded

        trial = recorded(handle.view, handle.trial(number))
        environments = handle.environments(number)
        if enqueue:
            _refuse_origin(trial)
            curve = _on_workers(ctx, server, handle, trial)
            _finish(ctx, compare(trial.curve, curve, tolerance=tolerance), [], as_json=as_json)
        author = "" if isinstance(trial.run, dict) and "task" in trial.run else _author(handle)
    what, differing = _environment(ctx, trial, environments, checkout, as_json=as_json)
    if check:
        _end_check(differing, as_json=as_json)
    trial.require_program()
    if author and not yes:
        _ask(trial, author, what.folder)
    curve = _here(ctx, name, trial, environments, what)
    found = compare(trial.curve, curve, tolerance=tolerance)
    _finish(ctx, found, differing, as_json=as_json)


def _author(handle: StudyHandle) -> str:
    return handle.specs()[0].by


def _environment(
    ctx: typer.Context,
    trial: Recorded,
    environments: Sequence[EnvironmentView],
    target: Path | None,
    *,
    as_json: bool,
) -> tuple[What, list[Difference]]:
    """Restore the code if asked to, and say what differs from what was recorded."""
    from tuner.environment import What, differences, verdict
    from tuner.errors import InvalidInput

    say = session(ctx).say
    what = What.of_run(trial.run, Path.cwd())
    if not environments:
        if target is not None:
            raise InvalidInput("nothing is recorded of the code: there is nothing to check out")
        say("warning: nothing is recorded of the environment: the code here may be another")
        return what, []
    if target is not None:
        what = What.of_run(trial.run, _checked_out(ctx, environments[0], target))
    found = differences(environments[0], _now(what, environments[0]))
    if found and not as_json:
        print_table(
            ("what", "recorded", "here"),
            [(one.what, _short(one.recorded), _short(one.here)) for one in found],
        )
        typer.echo("")
    say(verdict(found))
    return what, found


def _checked_out(ctx: typer.Context, environment: EnvironmentView, target: Path) -> Path:
    from tuner.reproduce.checkout import checkout

    missing = checkout(environment.code, Path.cwd(), target)
    say = session(ctx).say
    say(f"{target} is a worktree of {environment.code.commit}; `git worktree remove` deletes it")
    for file in missing:
        say(f"warning: {file} was not in git, and is not here as recorded")
    inner = target / environment.code.folder
    return inner.resolve() if inner.is_dir() else target.resolve()


def _now(what: What, recorded: EnvironmentView) -> EnvironmentView:
    from tuner.environment import Recorder, variables_again

    again = variables_again(recorded.machine.variables, os.environ)
    parts = Recorder().record(what, again)
    return recorded.model_copy(
        update={"machine": parts.machine, "packages": dict(parts.packages), "code": parts.code}
    )


def _end_check(found: Sequence[Difference], *, as_json: bool) -> None:
    from tuner.environment import Weight, verdict

    if as_json:
        print_json_line({"differences": _plain(found), "verdict": verdict(found)})
    same = all(one.weight is Weight.SLIGHT for one in found)
    raise typer.Exit(0 if same else NO_SUCCESS)


def _ask(trial: Recorded, author: str, folder: Path) -> None:
    """Let the user allow the study's code, which runs here as the user."""
    run = trial.run if isinstance(trial.run, dict) else {}
    what = run.get("entrypoint") or " ".join(map(str, run.get("command", ()))) or "nothing"
    typer.echo(f"{author!r} submitted this study. It runs here, as you, in {folder}:", err=True)
    typer.echo(f"  {what}", err=True)
    if not sys.stdin.isatty():
        typer.echo("error: give --yes to run it", err=True)
        raise typer.Exit(FAILURE)
    typer.confirm("Run it?", abort=True, err=True)


def _refuse_origin(trial: Recorded) -> None:
    """Refuse to hand a trial to the workers that began with another's weights."""
    if trial.origin is None:
        return
    from tuner.errors import InvalidInput

    at = trial.origin
    raise InvalidInput(
        f"trial {trial.number} went on from the checkpoint of step {at.step} of {at.name}: leave "
        f"out --enqueue to run it here, or enqueue it by `tuner enqueue {trial.study} --from "
        f"{at.study_id}/{at.trial} --step {at.step}`"
    )


def _here(
    ctx: typer.Context,
    name: str,
    trial: Recorded,
    environments: Sequence[EnvironmentView],
    what: What,
) -> tuple[tuple[int, float], ...]:
    import tempfile

    from tuner.reproduce import fetch, run

    variables = environments[0].machine.variables if environments else {}
    say = session(ctx).say
    with tempfile.TemporaryDirectory(prefix="tuner-reproduce-") as folder:
        with client(ctx) as server:
            files = fetch(server, server.study(name), trial, Path(folder))
        for what_for, paths in files.sources.items():
            say(f"fetched {count(len(paths), 'checkpoint')} for {what_for}")
        if trial.origin is not None:
            say(f"fetched the checkpoint of {trial.origin.name} that it went on from")
        say(f"training trial {trial.number} of {trial.study!r} again")
        done = run(trial, what.folder, variables, files)
    if done.error:
        typer.echo(f"the trial failed here:\n{done.error.rstrip()}", err=True)
        if not done.curve:
            raise typer.Exit(FAILURE)
    return done.curve


def _on_workers(
    ctx: typer.Context, server: Client, handle: StudyHandle, trial: Recorded
) -> tuple[tuple[int, float], ...]:
    from tuner.reproduce import recorded
    from tuner.spec.read import parse_yaml

    document = parse_yaml(handle.export(trial=trial.number))
    submitted = server.submit(document)
    session(ctx).say(f"study {submitted.id} replays it; Ctrl-C stops waiting, not the study")
    submitted.wait()
    again = recorded(submitted.view, submitted.trial(0))
    return tuple((one.step, one.value) for one in again.curve if not _past(trial, one.step))


def _past(trial: Recorded, step: int) -> bool:
    return not trial.curve or step > trial.curve[-1].step


def _finish(
    ctx: typer.Context, found: Comparison, differing: Sequence[Difference], *, as_json: bool
) -> None:
    """Show both curves, and end with what came of it."""
    if as_json:
        print_json_line(_document(found, differing))
    else:
        print_table(("step", "recorded", "here", "difference"), _rows(found))
        typer.echo("")
    session(ctx).say(found.verdict)
    raise typer.Exit(0 if found.reproduced else NO_SUCCESS)


def _document(found: Comparison, differing: Sequence[Difference]) -> dict[str, Any]:
    return {
        "reproduced": found.reproduced,
        "bit_equal": all(one.equal for one in found.points) and bool(found.points),
        "first_difference": found.first.step if found.first else None,
        "verdict": found.verdict,
        "differences": _plain(differing),
        "curve": [[one.step, _number(one.recorded), _number(one.here)] for one in found.points],
    }


def _plain(found: Sequence[Difference]) -> list[dict[str, Any]]:
    return [
        {"what": d.what, "recorded": d.recorded, "here": d.here, "weight": d.weight.name.lower()}
        for d in found
    ]


def _number(value: float | None) -> float | str | None:
    finite = value is None or abs(value) < float("inf")
    return value if finite else str(value)


def _rows(found: Comparison) -> Iterator[tuple[object, ...]]:
    """Yield the steps: of many the first ones, those around the first difference, the last ones."""
    kept = _kept(found)
    last = -1
    for i in kept:
        if i > last + 1:
            yield ("...", "", "", "")
        last = i
        yield _row(found.points[i])


def _kept(found: Comparison) -> list[int]:
    count = len(found.points)
    if count <= _MOST_ROWS:
        return list(range(count))
    first = found.points.index(found.first) if found.first else 0
    around = range(max(0, first - _AROUND), min(count, first + _AROUND))
    return sorted({*range(_AROUND), *around, *range(count - _AROUND, count)})


def _row(point: Point) -> tuple[object, ...]:
    def shown(value: float | None) -> str:
        return "-" if value is None else repr(value)

    gap = "" if point.equal else f"{point.distance:.2g}"
    return (point.step, shown(point.recorded), shown(point.here), gap)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
