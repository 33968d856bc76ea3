"""Brings the checkpoints of other trials that a recipe names to where a trial runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tuner.wire import LeaseGrant
from tuner.worker.api import WorkerApi
from tuner.worker.program import Program


async def with_sources(api: WorkerApi, grant: LeaseGrant, program: Program, work: Path) -> Program:
    """Return a program whose options say where the checkpoints lie that its recipe names.

    A trial that goes on from its own checkpoint needs no first weights.

    Raises:
        Conflict: a trial keeps no checkpoint any more.
        NotFound: a trial or its file is gone.
    """
    recipe = program.options.get("recipe", {})
    fields = ["teacher"] if grant.resume is not None else ["teacher", "start_from"]
    fetched: dict[str, list[str]] = {}
    for field in fields:
        named = recipe.get(field) or []
        for name in [named] if isinstance(named, str) else named:
            path = work / f"{field}-{len(fetched.get(field, []))}.ckpt"
            study, _, number = name.rpartition("/")
            await api.source(grant, study, number, path)
            fetched.setdefault(field, []).append(str(path))
    if not fetched:
        return program
    return replace(program, options={**program.options, "sources": fetched})
