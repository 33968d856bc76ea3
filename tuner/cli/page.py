"""Writes a study's report to a file."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from tuner.cli.context import session, study
from tuner.cli.output import print_json_line

_UNFIT = re.compile(r"[^\w.-]+")


def write_page(ctx: typer.Context, name: str, output: Path | None, *, as_json: bool) -> None:
    """Write the page on a study and say where."""
    with study(ctx, name) as handle:
        stem = _UNFIT.sub("-", handle.name).strip("-.") or f"study-{handle.id}"
        path = handle.report(output if output is not None else Path(f"{stem}.html"))
    if as_json:
        print_json_line({"path": str(path), "study": handle.id})
        return
    session(ctx).say(f"written to {path}")
