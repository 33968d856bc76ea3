"""Data to a file, whole or not at all, or to standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import typer

from tuner.cli.exits import FAILURE


def write(pieces: Iterable[bytes], file: Path | None) -> None:
    """Write pieces to standard output, or to a file that takes its name once it is whole."""
    if file is None:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    try:
        _write_file(pieces, file)
    except OSError as exc:
        typer.echo(f"error: {file} can't be written: {exc.strerror}", err=True)
        raise typer.Exit(FAILURE) from exc


def _write_file(pieces: Iterable[bytes], file: Path) -> None:
    if file.exists() and not file.is_file():
        with file.open("wb") as special:
            special.writelines(pieces)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as whole:
            whole.writelines(pieces)
        part.chmod(0o666 & ~_umask())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
