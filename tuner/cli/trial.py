"""The command that shows one trial: parameters, curve, what was decided and why, the last error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, study
from tuner.cli.output import params_text, print_json, print_table

if TYPE_CHECKING:
    from tuner.wire import EventView, TrialDetail

_REASONS = ("reason", "error", "worker_id")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(trial)


def trial(
    ctx: typer.Context,
    name: StudyArgument,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    as_json: JsonOption = False,
) -> None:
    """Show a trial: curve, decisions, error.

    Every event stands with its reason, and the last error with its traceback.
    """
    with study(ctx, name) as handle:
        detail = handle.trial(number)
    if as_json:
        print_json(detail)
        return
    print_table(("", "value"), _facts(detail))
    if detail.reports:
        typer.echo("")
        print_table(("attempt", "step", "value", "factor"), [_report(r) for r in detail.reports])
    typer.echo("")
    print_table(("at", "attempt", "step", "event", "reason"), [_event(e) for e in detail.events])
    errors = [e.data["error"] for e in detail.events if e.data.get("error")]
    if errors:
        typer.echo(f"\n{errors[-1].rstrip()}")


def _facts(detail: TrialDetail) -> list[tuple[str, Any]]:
    state = f"{detail.outcome}" if detail.outcome else f"{detail.state}"
    facts = [
        ("trial", detail.number),
        ("state", f"{state}: {detail.reason}" if detail.reason else state),
        ("origin", detail.origin),
        ("params", params_text(detail.params)),
        ("value", detail.value),
        ("lr factor", detail.lr_factor),
        ("attempts", detail.attempt),
        ("failures", detail.failures),
        ("seed", detail.seed),
        ("worker", detail.worker_id),
    ]
    return [(key, value) for key, value in facts if value is not None]


def _report(report: Any) -> tuple[Any, ...]:
    value = report.status if report.value is None else report.value
    return (report.attempt, report.step, value, report.lr_factor)


def _event(event: EventView) -> tuple[Any, ...]:
    said = next((event.data[key] for key in _REASONS if event.data.get(key)), "")
    lines = str(said).strip().splitlines()
    return (event.at, event.attempt, event.step, event.kind, lines[-1] if lines else "")
