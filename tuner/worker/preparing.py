"""What a trial starts from: its checkpoint and those its recipe names, before its child is told."""

from __future__ import annotations

import logging
from pathlib import Path

from tuner.errors import Conflict, InvalidInput, NotAllowed, NotFound, TunerError
from tuner.trial import INHERITED
from tuner.wire import LeaseGrant
from tuner.worker.endings import Ending
from tuner.worker.messages import ResumeFrom, Start
from tuner.worker.program import Program
from tuner.worker.sources import with_sources
from tuner.worker.tools import Tools

_LOG = logging.getLogger("tuner.worker")


async def prepared(tools: Tools, grant: LeaseGrant, program: Program, work: Path) -> Start | Ending:
    """Return what the child is told, or why the attempt ends without it; `work` is its folder."""
    try:
        resume = await _resume(tools, grant, work)
    except (InvalidInput, NotFound) as exc:
        return await _without_checkpoint(tools, grant, exc)
    except (TunerError, OSError) as exc:
        why = f"the checkpoint can't be fetched: {exc}"
        return Ending(outcome="failed", error=why, clean=True)
    try:
        return tools.start(grant, await with_sources(tools.api, grant, program, work), work, resume)
    except (NotAllowed, InvalidInput, NotFound, Conflict) as exc:
        return Ending(outcome="failed", error=exc.detail, retry=False, clean=True)
    except (TunerError, OSError) as exc:
        why = f"a checkpoint that the recipe names can't be fetched: {exc}"
        return Ending(outcome="failed", error=why, clean=True)


async def _resume(tools: Tools, grant: LeaseGrant, work: Path) -> ResumeFrom | None:
    held = grant.resume
    if held is None:
        return None
    path = work / f"resume-{held.step}.ckpt"
    await tools.api.download(grant, held, path)
    return ResumeFrom(step=held.step, path=str(path), inherited=held.attempt == INHERITED)


async def _without_checkpoint(tools: Tools, grant: LeaseGrant, problem: TunerError) -> Ending:
    """Tell the server that what came can't be used; it says where the trial goes on."""
    assert grant.resume is not None
    try:
        await tools.api.reject(grant, grant.resume, problem.detail)
    except TunerError as exc:
        why = f"the checkpoint can't be used: {problem.detail}; {exc.detail}"
        return Ending(outcome="failed", error=why, clean=True)
    _LOG.warning("%s #%d was given back: %s", grant.study, grant.number, problem.detail)
    return Ending(outcome="lost", clean=True)
