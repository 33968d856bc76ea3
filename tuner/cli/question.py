"""What ends or deletes asks first: on a terminal by a question, elsewhere by wanting `--yes`."""

from __future__ import annotations

import sys

import typer

from tuner.cli.exits import FAILURE, INTERRUPTED


def confirm(would: str, question: str, *, otherwise: str = "nothing was changed") -> None:
    """Return if the reader agrees.

    Args:
        would: what would be done, said where there is no terminal.
        question: asked on a terminal; a plain Enter is a no.
        otherwise: what is said of a no.

    Raises:
        typer.BadParameter: there is no terminal to ask on.
        typer.Exit: the answer was no, or Ctrl-C.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{would}; confirm with --yes")
    try:
        sure = typer.confirm(question, err=True)
    except typer.Abort as exc:
        typer.echo(f"\n{otherwise}", err=True)
        raise typer.Exit(INTERRUPTED) from exc
    if not sure:
        typer.echo(otherwise, err=True)
        raise typer.Exit(FAILURE)
