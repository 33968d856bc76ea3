"""The command that shows one trial: parameters, curve, what was decided and why, the last error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, study
from tuner.cli.output import params_text, print_json, print_table

if TYPE_CHECKING:
    from tuner.wire import Code, EnvironmentView, EventView, TrialDetail

_NOTABLE = ("tuner", "torch", "jax", "tensorflow", "numpy")
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
        environments = [] if as_json else handle.environments(number)
    if as_json:
        print_json(detail)
        return
    print_table(("", "value"), [*_facts(detail), *environment_facts(environments)])
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
        ("note", detail.remark or None),
        ("tags", ", ".join(detail.tags) or None),
    ]
    return [(key, value) for key, value in facts if value is not None]


def environment_facts(found: Sequence[EnvironmentView]) -> list[tuple[str, Any]]:
    """Return what the newest attempt ran on and with, in a few lines."""
    if not found:
        return []
    newest = found[0]
    machine, code = newest.machine, newest.code
    gpus = Counter(machine.gpus).items()
    facts = [
        ("code", _code(code)),
        ("program", " ".join(machine.program)),
        ("python", f"{machine.python}, {len(newest.packages)} packages, {_notable(newest)}"),
        ("machine", f"{machine.host}: {machine.cpu}, {machine.cores} cores"),
        ("GPUs", ", ".join(f"{n} x {name}" if n > 1 else name for name, n in gpus)),
        ("given", f"GPU {', '.join(machine.devices)}" if machine.devices else ""),
        ("driver", f"{machine.driver}, CUDA {machine.cuda}" if machine.driver else ""),
        ("variables", " ".join(f"{k}={v}" for k, v in machine.variables.items())),
    ]
    return [(key, value) for key, value in facts if value]


def _code(code: Code) -> str:
    if code.kind == "none":
        return code.note
    if code.kind == "files":
        return f"{len(code.files)} files in {code.root}, without git"
    at = f"{code.commit[:12] if code.commit else 'no commit'} on {code.branch or 'no branch'}"
    if code.diff_size:
        at += f", with uncommitted changes ({code.diff_size} characters)"
    return f"{at}, {len(code.files)} untracked" if code.files else at


def _notable(environment: EnvironmentView) -> str:
    named = {name.lower(): version for name, version in environment.packages.items()}
    return ", ".join(f"{name} {named[name]}" for name in _NOTABLE if name in named)


def _report(report: Any) -> tuple[Any, ...]:
    value = report.status if report.value is None else report.value
    return (report.attempt, report.step, value, report.lr_factor)


def _event(event: EventView) -> tuple[Any, ...]:
    said = next((event.data[key] for key in _REASONS if event.data.get(key)), "")
    lines = str(said).strip().splitlines()
    return (event.at, event.attempt, event.step, event.kind, lines[-1] if lines else "")
