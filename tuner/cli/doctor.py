"""What is wrong with trainings: `tuner doctor`, on reports and on a module's gradient."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tuner.cli.context import JsonOption, StudyArgument, study
from tuner.cli.exits import NO_SUCCESS
from tuner.cli.extras import torch_needed
from tuner.cli.output import print_json, print_table
from tuner.findings import RULES, Reported, judged, short

if TYPE_CHECKING:
    from tuner.client import StudyHandle
    from tuner.wire import EventView, TrialDetail

doctor = typer.Typer(
    no_args_is_help=True,
    help="Look for what is wrong with trainings, and say what to do about it.",
)
_MEASURES = {"grad": "gradient norm", "update": "update ratio", "var": "variance", "dead": "dead"}
_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(doctor, name="doctor")


@doctor.command("study")
def of_study(ctx: typer.Context, name: StudyArgument, as_json: JsonOption = False) -> None:
    """Show what was found in a study's trials, the most frequent first."""
    with study(ctx, name) as handle:
        found = handle.findings(None)[::-1]
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("nothing was found")
        return
    for rule, events in _by_rule(found):
        numbers = sorted({e.number for e in events if e.number is not None})
        some = ", ".join(map(str, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
        typer.echo(f"{rule}: {_count(len(numbers), 'trial')} ({some})")
        newest = events[-1]
        typer.echo(f"  trial {newest.number}, step {newest.step}: {newest.data.get('reason')}\n")


@doctor.command("trial")
def of_trial(
    ctx: typer.Context,
    name: StudyArgument,
    number: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    as_json: JsonOption = False,
) -> None:
    """Look through a trial's reports: what is wrong, what was looked at, layer by layer.

    The rules are those of this version, also for trials that older servers judged.
    """
    with study(ctx, name) as handle:
        detail = handle.trial(number)
        reports = history(detail, _objective(handle))
    found = judged(reports)
    if as_json:
        _print([finding.document() for finding in found])
        return
    for finding in found:
        typer.echo(f"step {finding.step}  {finding.rule}\n  {finding.seen}\n  → {finding.advice}\n")
    if not found:
        typer.echo("nothing was found\n")
    _looked(reports)


def history(detail: TrialDetail, objective: str) -> list[Reported]:
    """Return a trial's curve as rules read it: at each step the newest attempt's report."""
    newest = {r.step: r for r in sorted(detail.reports, key=lambda r: r.attempt)}
    return [
        Reported.of(
            r.step, float("nan") if r.value is None else r.value, r.lr_factor, r.metrics, objective
        )
        for _, r in sorted(newest.items())
    ]


def _objective(handle: StudyHandle) -> str:
    return str(handle.view.spec.get("objective", {}).get("metric", ""))


def _looked(reports: Sequence[Reported]) -> None:
    """Say what the rules had to look at, and what they had not."""
    told = {name for report in reports for name in report.metrics}
    parts = {
        "training loss": any(r.train is not None for r in reports),
        "validation loss": any(r.val is not None for r in reports),
        "gradient norm": "grad_norm" in told,
        "update ratio": "update_ratio" in told,
        "layers": any(r.layers for r in reports),
    }
    seen = [name for name, there in parts.items() if there]
    missing = [name for name, there in parts.items() if not there]
    typer.echo(f"looked at {_count(len(reports), 'report')}: {', '.join(seen) or 'no metric'}")
    if missing:
        typer.echo(f"not reported: {', '.join(missing)} (tuner.torch.Watch measures them)")
    if any(r.layers for r in reports):
        last = next(r for r in reversed(reports) if r.layers)
        names = list(dict.fromkeys(n for found in last.layers.values() for n in found))
        typer.echo(f"\nlayers at step {last.step}")
        rows = [(n, *(_cell(last.layers.get(m, {}).get(n), m) for m in _MEASURES)) for n in names]
        print_table(("layer", *_MEASURES.values()), rows)


def _cell(value: float | None, measure: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0%}" if measure == "dead" else short(value, 2)


def _by_rule(found: Sequence[EventView]) -> list[tuple[str, list[EventView]]]:
    rules: dict[str, list[EventView]] = {rule.name: [] for rule in RULES}
    for event in found:
        rules.setdefault(str(event.data.get("rule")), []).append(event)
    found_ones = [(rule, events) for rule, events in rules.items() if events]
    return sorted(found_ones, key=lambda pair: -len({event.number for event in pair[1]}))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


@doctor.command("gradcheck")
def gradients(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:NAME",
            help="A torch module, a class or function that makes one, or an autograd Function.",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--input",
            metavar="SHAPE",
            help="An argument's shape, such as 4x10; 4x10:100 for whole numbers below 100.",
        ),
    ],
    arguments: Annotated[
        str, typer.Option("--with", metavar="JSON", help="Arguments by name of what makes it.")
    ] = "{}",
    *,
    entries: Annotated[
        int, typer.Option(min=1, help="Entries of each tensor that are compared at most.")
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Of inputs, weights and entries.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare a module's gradients with numerical differences, in float64.

    Exit code 6 if one is wrong.
    """
    torch_needed("tuner doctor gradcheck")
    from tuner.torch.checking import check

    found = check(target, inputs, json_object(arguments), entries=entries, seed=seed)
    wrong = [checked for checked in found if not checked.right]
    if as_json:
        _print([_plain(checked) for checked in found])
    else:
        print_table(
            ("", "name", "found"),
            [("ok" if c.right else "WRONG", c.name, c.text) for c in found],
        )
    raise typer.Exit(NO_SUCCESS if wrong else 0)


def json_object(text: str) -> dict[str, Any]:
    """Read arguments given as JSON.

    Raises:
        typer.BadParameter: it is no object.
    """
    try:
        found = json.loads(text)
    except ValueError as problem:
        raise typer.BadParameter(f"--with takes a JSON object: {problem}") from problem
    if not isinstance(found, dict):
        raise typer.BadParameter("--with takes a JSON object, such as '{\"width\": 8}'")
    return found


def _print(documents: Sequence[Mapping[str, Any]]) -> None:
    typer.echo(json.dumps(documents, indent=2, ensure_ascii=False))


def _plain(checked: Any) -> dict[str, Any]:
    names = ("name", "size", "checked", "wrong", "entry", "analytic", "numeric", "missing")
    return {name: getattr(checked, name) for name in names} | {"text": checked.text}
