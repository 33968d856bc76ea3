"""Commands that submit studies and show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tuner.cli.context import (
    JsonOption,
    StudyArgument,
    client,
    session,
    stdout_is_terminal,
    study,
)
from tuner.cli.exits import NOT_FOUND
from tuner.cli.files import write
from tuner.cli.output import (
    fresh_seeds,
    params_text,
    print_json,
    print_table,
    print_yaml,
    result_of,
    task_facts,
)

if TYPE_CHECKING:
    from tuner.client import StudyHandle
    from tuner.wire import BestView, StudyView

FORMATS = ("yaml", "json", "csv", "parquet")
TABLES = FORMATS[2:]
STUDY_SORTS = "created|name|priority|best"
TRIAL_SORTS = "number|value|duration"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (submit, ls, show, best, trials, export):
        app.command()(command)


def submit(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="Study document."
        ),
    ],
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the study is over.")] = False,
    as_json: JsonOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check the document.")] = False,
    paused: Annotated[
        bool, typer.Option("--paused", help="Start nothing until `tuner resume`.")
    ] = False,
) -> None:
    """Submit a study (YAML or JSON) and print its id."""
    if paused and wait:
        raise typer.BadParameter("a paused study is never over: leave out --wait")
    with client(ctx) as found:
        if dry_run:
            checked = found.submit(file, dry_run=True)
            _warn(ctx, checked.warnings)
            if as_json:
                print_json(checked)
            else:
                print_yaml(checked.spec)
            return
        handle = found.submit(file, paused=paused)
        _warn(ctx, handle.view.warnings)
        if not wait:
            print_json(handle.view) if as_json else typer.echo(handle.id)
            return
        if not as_json:
            typer.echo(handle.id)
        from tuner.cli.watch import follow, verdict

        follow(ctx, handle)
        if as_json:
            print_json(handle.view)
        raise typer.Exit(verdict(ctx, handle.view))


def ls(
    ctx: typer.Context,
    *,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    project: Annotated[str | None, typer.Option(help="Only those of this project.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    begins: Annotated[str | None, typer.Option("--name", help="How the name begins.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar=STUDY_SORTS, help="With - in front the other way round."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the studies, newest first."""
    with client(ctx) as found:
        handles = found.studies(
            state=state, project=project, owner=owner, tag=tag, name=begins, sort=sort
        )
        views = [handle.view for handle in handles]
    if as_json:
        print_json(views)
        return
    from tuner.client.progress import progress
    from tuner.trial import EndReason

    now = datetime.now(UTC)
    rows = []
    for view in views:
        at = progress(view, now)
        value = view.best.value if view.best else None
        count = f"{at.ended}/{at.total}"
        state = "finished (failures)" if view.ended_why is EndReason.FAILURES else view.state
        rows.append((view.id, view.name, state, count, value, view.created_at))
    print_table(("id", "name", "state", "trials", "best", "created"), rows)


def show(ctx: typer.Context, name: StudyArgument, as_json: JsonOption = False) -> None:
    """Show a study: state, counts, best trial."""
    with study(ctx, name) as handle:
        view = handle.view
        more = [] if as_json else [*_result(handle), *_last_failure(handle)]
    if as_json:
        print_json(view)
        return
    from tuner.client.progress import progress_line

    typer.echo(progress_line(view, datetime.now(UTC)))
    print_table(("", "value"), [*_facts(view), *more])


def best(ctx: typer.Context, name: StudyArgument, as_json: JsonOption = False) -> None:
    """Print the best trial's parameters as YAML."""
    with study(ctx, name) as handle:
        found = handle.best
    if found is None:
        typer.echo("error: no trial has a value yet", err=True)
        raise typer.Exit(NOT_FOUND)
    if as_json:
        print_json(found)
        return
    metric = handle.view.spec.get("objective", {}).get("metric", "value")
    session(ctx).say(f"trial {found.number}: {metric} {found.value:.6g} at step {found.step}")
    if found.mean is not None:
        session(ctx).say(fresh_seeds(found))
    print_yaml(found.params)


def trials(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only those that ended so.")] = None,
    origin: Annotated[str | None, typer.Option(help="Only those that came from there.")] = None,
    low: Annotated[float | None, typer.Option("--min-value", help="Smallest value.")] = None,
    high: Annotated[float | None, typer.Option("--max-value", help="Largest value.")] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar=TRIAL_SORTS, help="With - in front the other way round."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List a study's trials."""
    with study(ctx, name) as handle:
        views = handle.trials(
            state=state, outcome=outcome, origin=origin, min_value=low, max_value=high, sort=sort
        )
    if as_json:
        print_json(views)
        return
    columns = ("trial", "state", "outcome", "origin", "step", "value", "factor", "params")
    print_table(
        columns,
        [
            (
                t.number,
                t.state,
                t.outcome,
                t.origin,
                t.last_step,
                t.value if t.value is not None else t.last_value,
                t.lr_factor,
                params_text(t.params),
            )
            for t in views
        ],
    )


def export(
    ctx: typer.Context,
    name: StudyArgument,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")
    ] = None,
    form: Annotated[
        str,
        typer.Option("--format", metavar="yaml|json|csv|parquet", help="How it is written."),
    ] = "yaml",
    number: Annotated[
        int | None,
        typer.Option("--trial", metavar="N", min=0, help="Replay this one instead of the best."),
    ] = None,
    reports: Annotated[
        bool,
        typer.Option("--reports", help="With csv and parquet: a row a report, not a row a trial."),
    ] = False,
) -> None:
    """Take results away: as YAML the best trial, replayed.

    YAML is a study document whose one trial trains as the best one did; JSON holds everything; CSV
    and Parquet are tables of the trials, or of the reports.
    """
    if form not in FORMATS:
        raise typer.BadParameter(f"{form!r} is none of {', '.join(FORMATS)}", param_hint="--format")
    if reports and form not in TABLES:
        raise typer.BadParameter(f"goes with {' and '.join(TABLES)}", param_hint="--reports")
    if form == "parquet" and output is None and stdout_is_terminal():
        raise typer.BadParameter("Parquet is binary: name a file", param_hint="--output")
    if number is not None and form != "yaml":
        raise typer.BadParameter("goes with yaml", param_hint="--trial")
    with study(ctx, name) as handle:
        write(_pieces(handle, form, reports=reports, trial=number), output)
    if output is not None:
        session(ctx).say(f"written to {output}")


def _pieces(handle: StudyHandle, form: str, *, reports: bool, trial: int | None) -> Iterator[bytes]:
    if form in TABLES:
        table: Literal["trials", "reports"] = "reports" if reports else "trials"
        yield from handle.export_table(table, "csv" if form == "csv" else "parquet")
        return
    text = handle.export(format="json" if form == "json" else "yaml", trial=trial)
    yield (text if text.endswith("\n") else f"{text}\n").encode()


def _warn(ctx: typer.Context, warnings: Sequence[str]) -> None:
    for warning in warnings:
        session(ctx).say(f"warning: {warning}")


def _facts(view: StudyView) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("id", view.id),
        *task_facts(view),
        ("created", view.created_at),
        ("started", view.started_at),
        ("ended", view.ended_at),
        ("ended why", view.ended_why),
        *((f"trials {kind}", n) for kind, n in view.counts.items() if n),
        ("steps done", view.steps_done),
        ("steps saved", view.steps_saved),
        ("rate cuts", view.halvings),
        ("controls", view.halving_worth.text if view.halving_worth is not None else None),
    ]
    if view.best is not None:
        facts += _best_facts("best", view.best)
    if view.best_folk is not None:
        facts += _best_facts("best rule of thumb", view.best_folk)
    for row in view.finalists:
        facts.append((f"finalist {row.number}", f"{row.first:.6g}; {fresh_seeds(row)}"))
    facts.append(("drift", view.drift.text if view.drift is not None else None))
    facts += [("warning", text) for text in view.warnings]
    return [(name, value) for name, value in facts if value is not None]


def _result(handle: StudyHandle) -> list[tuple[str, object]]:
    """Return what came of a study that follows another one."""
    text = result_of(handle)
    return [] if text is None else [("result", text)]


def _last_failure(handle: StudyHandle) -> list[tuple[str, object]]:
    """Return the trial that failed last, and why."""
    kinds = ("failed", "oom")
    if not any(handle.view.counts.get(kind, 0) for kind in kinds):
        return []
    failed = [t for t in handle.trials() if t.outcome in kinds and t.ended_at is not None]
    if not failed:
        return []
    last = max(failed, key=lambda t: (t.ended_at, t.number))
    return [("last failure", f"trial {last.number}: {last.reason or last.outcome}")]


def _best_facts(title: str, found: BestView) -> list[tuple[str, object]]:
    value = f"{found.value:.6g} (trial {found.number}, step {found.step})"
    return [(title, value), (f"{title}: params", params_text(found.params))]
