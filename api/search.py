"""Proposing parameters: for each live study a proposer, and points made ready ahead."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from importlib.util import find_spec

from api import queue
from api.sampling.mirror import CmaEsProposer, GpProposer
from api.sampling.points import feasible
from api.sampling.proposer import GridProposer, Needs, Proposer, RandomProposer, grid_points
from api.sampling.ready import NoPoint, Shelf
from api.sampling.sobol import SobolProposer
from api.sampling.terms import Point
from api.sampling.tpe import TpeProposer
from storage import Reader
from tuner.constraints import parse as parse_constraint
from tuner.errors import InvalidInput, NotFound
from tuner.spec import StudySpec
from tuner.study import Study
from tuner.trial import Trial

_log = logging.getLogger(__name__)

PROPOSERS: dict[str, type[Proposer]] = {
    "cmaes": CmaEsProposer,
    "gp": GpProposer,
    "grid": GridProposer,
    "qmc": SobolProposer,
    "random": RandomProposer,
    "tpe": TpeProposer,
}


def check(spec: StudySpec) -> None:
    """Refuse a document whose sampler could propose nothing. May take a second.

    Raises:
        InvalidInput: grid over an infinite or too large space, gp without torch, or constraints
            that leave nothing.
    """
    space = spec.build_space()
    constraints = [parse_constraint(text, space.parameters) for text in spec.constraints]
    if spec.sampler.name == "gp" and find_spec("torch") is None:
        raise InvalidInput("the gp sampler needs torch on the server: pip install 'tuner[torch]'")
    if spec.sampler.name == "grid":
        grid_points(space, constraints)
    else:
        feasible(space, constraints, spec.sampler.seed)


class Search:
    """The samplers of all live studies. Use it on the event loop; proposing happens in threads.

    Guarantees: a proposal is a function of the study's document, its trials and the trial's number,
    the same after a restart if one trial runs at a time (`parallel: 1`). A point that was made
    ready is no trial: nothing is stored before it is leased. CMA-ES and QMC note their state at
    earlier trials; it is won back by replaying those.
    """

    def __init__(self) -> None:
        self.on_ask: Callable[[str, float], None] = lambda source, seconds: None
        """Called when points are there: `instant`, `ready` or `computed`, and after what time."""
        self._proposers: dict[int, Proposer] = {}
        self._shelves: dict[int, Shelf] = {}
        self._preparing: dict[int, asyncio.Task[None]] = {}
        self._closed = False
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="search")

    async def propose(
        self,
        study: Study,
        trials: Sequence[Trial],
        count: int = 1,
        *,
        ahead: Sequence[Point] = (),
        number: int | None = None,
    ) -> list[Point]:
        """Return points for a study's next trials; see `Proposer.propose`.

        Raises:
            InvalidInput: the constraints leave nothing.
        """
        first = len(trials) if number is None else number
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._propose, study, first, trials, count, ahead
        )

    def _propose(
        self, study: Study, number: int, trials: Sequence[Trial], count: int, ahead: Sequence[Point]
    ) -> list[Point]:
        return self._proposer(study).propose(study, number, trials, count, ahead)

    def _proposer(self, study: Study) -> Proposer:
        """Return the study's proposer, made anew if its space changed; that may take a second."""
        found = self._proposers.get(study.study_id)
        if found is None or not found.serves(study):
            found = self._proposers[study.study_id] = _kind(study)(study)
        return found

    def point(self, reader: Reader, study: Study) -> Point | None:
        """Return the point for the study's next trial, at once; None if none is ready.

        Raises:
            InvalidInput: the constraints leave nothing.
        """
        if _is_instant(study):
            return self._proposer(study).propose(study, reader.next_number(study.study_id), ())[0]
        return self._shelf(study).point(reader, study.study_id)

    @asynccontextmanager
    async def ready(self, reader: Reader, study: Study, count: int) -> AsyncIterator[None]:
        """Have points ready for the study's next `count` trials, beside those of other callers.

        Afterwards some are made ready for later callers.

        Raises:
            NoPoint: there is none.
        """
        if _is_instant(study):
            self.on_ask("instant", 0.0)
            yield
            return
        shelf, began = self._shelf(study), time.perf_counter()
        try:
            with shelf.asking(reader, study.study_id, count):
                wanted = shelf.asked(reader, study)
                there = shelf.count(reader, study.study_id) >= wanted
                await shelf.fill(reader, study, wanted)
                self.on_ask("ready" if there else "computed", time.perf_counter() - began)
                yield
        finally:
            self._prepare(reader, study.study_id)

    def _shelf(self, study: Study) -> Shelf:
        """Return the study's shelf; after a change of its space an empty one."""
        found = self._shelves.get(study.study_id)
        if found is None or not found.serves(study):
            found = Shelf(_kind(study).needs, self._make, study.spec.space)
            self._shelves[study.study_id] = found
        return found

    async def _make(
        self, study: Study, number: int, trials: Sequence[Trial], count: int, ahead: Sequence[Point]
    ) -> list[Point]:
        return await self.propose(study, trials, count, ahead=ahead, number=number)

    def _prepare(self, reader: Reader, study_id: int) -> None:
        """Make points ready in the background, unless that is under way."""
        if study_id in self._preparing or self._closed:
            return
        task = asyncio.create_task(self._fill(reader, study_id), name=f"search-{study_id}")
        self._preparing[study_id] = task
        task.add_done_callback(lambda _: self._preparing.pop(study_id, None))

    async def _fill(self, reader: Reader, study_id: int) -> None:
        """Make one point after the other ready; who asks meanwhile goes in between."""
        try:
            while study_id in self._shelves:
                study = reader.study(study_id)
                shelf = self._shelf(study)
                if not queue.is_open(study):
                    shelf.clear()
                    return
                there = shelf.count(reader, study_id)
                if there >= shelf.asked(reader, study) + shelf.ahead(reader, study):
                    return
                if not await shelf.fill(reader, study, there + 1):
                    return
        except (NoPoint, NotFound):
            return  # the next caller is told
        except Exception:
            _log.exception("no points could be made ready for study %d", study_id)

    def keep(self, study_ids: Collection[int]) -> None:
        """Forget all other studies, and what was made ready for them."""
        for known in (self._proposers, self._shelves):
            for study_id in known.keys() - set(study_ids):
                known.pop(study_id)

    def close(self) -> None:
        """Let go of the threads."""
        self._closed = True
        for task in self._preparing.values():
            task.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)


def _kind(study: Study) -> type[Proposer]:
    return PROPOSERS[study.spec.sampler.name]


def _is_instant(study: Study) -> bool:
    """Tell whether a point costs so little that it is made when it is asked for."""
    return _kind(study).needs is Needs.NOTHING and not study.constraints
