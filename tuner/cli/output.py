"""Data for standard output: JSON, YAML, and tables that a terminal gets with colours."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from tuner.cli.context import stdout_is_terminal

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tuner.client import StudyHandle
    from tuner.wire import BestView, FinalistView, StudyView


def print_json(value: BaseModel | Sequence[BaseModel]) -> None:
    """Print one JSON object or list."""
    document = (
        [one.model_dump(mode="json") for one in value]
        if isinstance(value, Sequence)
        else value.model_dump(mode="json")
    )
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_json_line(value: dict[str, Any]) -> None:
    """Print one line of JSON, at once."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def print_yaml(document: object) -> None:
    """Print a YAML document in block style."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    stream = io.StringIO()
    yaml.dump(document, stream)
    typer.echo(stream.getvalue(), nl=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table: with rich on a terminal, as aligned plain text elsewhere."""
    texts = [[cell(value) for value in row] for row in rows]
    if stdout_is_terminal() and os.environ.get("TERM") != "dumb":
        _rich_table(columns, texts)
        return
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    for line in [[c.upper() for c in columns], *texts]:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join(padded).rstrip())


def cell(value: object) -> str:
    """Return a value as the text of a table's cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    text = str(value)
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number and its noun: `1 study`, `2 studies`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def params_text(params: dict[str, Any]) -> str:
    """Return parameters as `name=value` words."""
    return " ".join(f"{name}={short(value)}" for name, value in params.items())


def task_facts(view: StudyView) -> list[tuple[str, object]]:
    """Return the built-in task, and what its recipe fixes; nothing of other studies."""
    run = view.spec.get("run")
    if not isinstance(run, dict) or "task" not in run:
        return []
    recipe = run.get("recipe")
    return [("task", run["task"]), ("recipe", params_text(recipe) if recipe else None)]


def fresh_seeds(found: BestView | FinalistView) -> str:
    """Return what a configuration's runs on fresh seeds gave, and how lucky its first was."""
    n = found.n if hasattr(found, "n") else found.seeds or 0
    text = f"over {count(n, 'fresh seed')} {found.mean:.4g}"
    if found.low is not None and found.high is not None:
        text += f" (95 %: {found.low:.4g} to {found.high:.4g})"
    if found.luck:
        which = "better" if found.luck > 0 else "worse"
        text += f"; its first value was {abs(found.luck):.3g} {which} than that"
    return text


def result_of(handle: StudyHandle) -> str | None:
    """Return what came of a study that follows another one, None of others or before its end."""
    run = handle.view.spec.get("run")
    if not isinstance(run, dict) or "after" not in run:
        return None
    from tuner.report import result

    best = handle.best
    return None if best is None else result(handle.view, {**best.metrics, "value": best.value})


def short(value: object) -> str:
    """Return a parameter's value with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else cell(value)


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
