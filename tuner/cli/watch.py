"""Following a study: `tuner watch`, and the waiting of `tuner submit --wait`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import StudyArgument, session, stdout_is_terminal, study
from tuner.cli.exits import NO_SUCCESS
from tuner.cli.output import print_json_line
from tuner.trial import EndReason, StudyState

if TYPE_CHECKING:
    from tuner.client import StudyHandle
    from tuner.wire import StudyView

DETACHED = "detached; the study goes on"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(watch)


def watch(
    ctx: typer.Context,
    name: StudyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON a change.")] = False,
    every: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="Time between two looks.")
    ] = 1.0,
) -> None:
    """Follow a study until it is over. Ctrl-C detaches and stops nothing."""
    with study(ctx, name) as handle:
        try:
            if as_json:
                _json_lines(handle, every)
            elif session(ctx).quiet:
                handle.wait(poll_s=every)
            elif stdout_is_terminal() and os.environ.get("TERM") != "dumb":
                from tuner.cli.live import show_live

                show_live(handle, every)
            else:
                handle.wait(progress=True, poll_s=every, stream=sys.stdout)
        except KeyboardInterrupt:
            session(ctx).say(DETACHED)
            raise
        if not (as_json or session(ctx).quiet):
            _tell_findings(handle)
        raise typer.Exit(verdict(ctx, handle.view))


def _tell_findings(handle: StudyHandle) -> None:
    from tuner.cli.summary import findings_text

    for line in findings_text(handle.findings(None)):
        typer.echo(f"{line}; `tuner doctor study {shlex.quote(handle.name)}` says what to do")


def follow(ctx: typer.Context, handle: StudyHandle) -> None:
    """Wait for a study with a line of progress on standard error."""
    try:
        handle.wait(progress=not session(ctx).quiet)
    except KeyboardInterrupt:
        session(ctx).say(DETACHED)
        raise


def verdict(ctx: typer.Context, view: StudyView) -> int:
    """Return the exit code for a study that is over, and say why if it was no success."""
    why = no_success(view)
    if why is None:
        return 0
    session(ctx).say(f"{view.name}: {why}")
    return NO_SUCCESS


def no_success(view: StudyView) -> str | None:
    """Say why a study that is over was no success; None if it was one."""
    if view.state is StudyState.CANCELLED:
        return "the study was cancelled"
    if view.ended_why is EndReason.FAILURES:
        return f"the study ended because trials failed ({view.counts.get('failed', 0)})"
    return None if view.best is not None else "the study ended without a trial that has a value"


def status(view: StudyView, now: datetime) -> dict[str, Any]:
    """Return where a study stands, for a line of JSON."""
    from tuner.client.progress import progress

    at = progress(view, now)
    best = None
    if view.best is not None:
        best = {"number": view.best.number, "value": view.best.value, "params": view.best.params}
    return {
        "id": view.id,
        "name": view.name,
        "state": view.state,
        "ended": at.ended,
        "total": at.total,
        "counts": view.counts,
        "steps_done": view.steps_done,
        "halvings": view.halvings,
        "best": best,
        "note": view.note,
        "seconds_left": None if at.seconds_left is None else round(at.seconds_left, 1),
    }


def _json_lines(handle: StudyHandle, every: float) -> None:
    before: dict[str, Any] = {}
    for line in _statuses(handle, every):
        essence = {k: v for k, v in line.items() if k != "seconds_left"}
        if essence != before:
            print_json_line(line)
        before = essence


def _statuses(handle: StudyHandle, every: float) -> Iterator[dict[str, Any]]:
    for view in handle.watch(poll_s=every, live=True):
        yield status(view, datetime.now(UTC))
