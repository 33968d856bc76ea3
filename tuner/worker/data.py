"""Tables that studies name: read only below the folders that this worker's configuration names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tuner.errors import NotAllowed
from tuner.worker.config import WorkerConfig

if TYPE_CHECKING:
    from tuner.worker.program import Program


def allowed_file(folders: Sequence[Path], name: str) -> Path | None:
    """Return the file that a study means, links resolved; None if none is below the folders.

    A relative name is looked up in each folder in turn; the first that has it counts.
    """
    for folder in folders:
        try:
            root = folder.resolve(strict=True)
            file = (root / name).resolve(strict=True)  # an absolute name stays as it is
        except (OSError, RuntimeError, ValueError):
            continue
        if file.is_relative_to(root) and file.is_file():
            return file
    return None


def refused_data(name: object, config: WorkerConfig) -> str | None:
    """Say that this worker may not read a file, or has none of that name; None if it may."""
    if not config.allow_data:
        return "this worker lets studies read no files: start it with --allow-data FOLDER"
    if isinstance(name, str) and allowed_file(config.allow_data, name) is not None:
        return None
    return f"there is no file {name} in the folders that this worker lets studies read"


def with_data(program: Program, config: WorkerConfig) -> Program:
    """Return a program whose options say where its table lies.

    Raises:
        NotAllowed: it lies nowhere that this worker may read.
    """
    table = program.options.get("table")
    if table is None:
        return program
    name = table.get("data")
    file = allowed_file(config.allow_data, name) if isinstance(name, str) else None
    if file is None:
        raise NotAllowed(refused_data(name, config) or f"the file {name} is gone")
    return replace(program, options={**program.options, "table": {**table, "data": str(file)}})
