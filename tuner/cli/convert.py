"""The command that makes a study document out of another tool's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tuner.cli.context import JsonOption, session
from tuner.cli.files import write
from tuner.cli.output import count, print_json_line

if TYPE_CHECKING:
    from tuner.convert import Converted


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(convert)


def convert(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A W&B sweep or a Katib Experiment, YAML or JSON; - is standard input.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it to a file.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a study document out of a W&B sweep or a Katib Experiment.

    What could not be carried over is listed on standard error, and in comments of the document.
    """
    from tuner.convert import convert as converted
    from tuner.convert import text_of

    found = converted(_read(file))
    for line in found.lines():
        session(ctx).say(line)
    session(ctx).say(_summary(found))
    if as_json:
        print_json_line(
            {
                "document": found.document,
                "left": [one._asdict() for one in found.left],
                "changed": [one._asdict() for one in found.changed],
                "hints": list(found.hints),
            }
        )
        return
    write([text_of(found).encode()], output)
    if output is not None:
        session(ctx).say(f"written to {output}; check it with `tuner submit --dry-run {output}`")


def _read(file: Path) -> object:
    from tuner.errors import Malformed
    from tuner.spec.read import MAX_DOCUMENT, parse_json, parse_yaml

    text = _bytes(file, 4 * MAX_DOCUMENT + 1).decode("utf-8")
    if len(text) > MAX_DOCUMENT:
        raise Malformed(f"{file} is longer than {MAX_DOCUMENT} characters")
    return parse_json(text) if file.suffix == ".json" else parse_yaml(text)


def _bytes(file: Path, most: int) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(most)
    try:
        with file.open("rb") as stream:
            return stream.read(most)
    except OSError as exc:
        raise typer.BadParameter(f"{file}: {exc.strerror}", param_hint="FILE") from exc


def _summary(found: Converted) -> str:
    left = count(len(found.left), "thing was", "things were") if found.left else "nothing was"
    changed = f", {len(found.changed)} changed" if found.changed else ""
    return f"converted from a {found.kind}; {left} left out{changed}"
