"""Which trials to lease next. Pure: made on memory to look, and again on a transaction to lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from api import lifecycle, queue
from api.drains import Drains
from api.lifecycle import Tally
from api.limits.quotas import Parallel
from api.limits.settings import Limits
from storage import Listing, Reader
from tuner.packing import Need, Room, asked
from tuner.study import Study
from tuner.trial import Origin, Trial

_ORIGINS = (Origin.ENQUEUED, Origin.FOLK, Origin.FINALIST, Origin.CONTROL, Origin.SAMPLED)
NO_LIMITS = Limits()
Rank = Callable[[Mapping[int, int], Mapping[str, int]], Sequence[Study]]


class Pick(NamedTuple):
    """A trial to lease. `number` is None for one that is still to be proposed."""

    study: Study
    number: int | None


class Plan(NamedTuple):
    """What to lease.

    Args:
        idle: there is no work for this caller at all.
        kept: the studies for whose next trial the caller keeps GPUs free.
    """

    picks: list[Pick]
    idle: bool
    kept: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Space:
    """What is free on a worker that places its trials, and what it learned of studies.

    Args:
        shares: the part of a GPU that a study's trials turned out to need, by study.
        drains: which workers keep GPUs free.
    """

    room: Room
    shares: Mapping[int, float]
    drains: Drains


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks, by its access token: a worker, or the loop of an external study.

    A worker without `space` places no trials: it gets those that name no GPUs.

    Args:
        avoid: studies that a worker does not serve now.
        has_others: tells whether other workers may serve a study.
    """

    n: int
    token_id: str
    worker_id: str | None = None
    study_id: int | None = None
    avoid: frozenset[int] = frozenset()
    has_others: Callable[[Study], bool] = lambda _: False
    space: Space | None = None

    def is_vain(self, reader: Reader) -> bool:
        """Tell whether waiting is useless, since the study asked for is over."""
        return self.study_id is not None and reader.study(self.study_id).is_over

    def candidates(self, reader: Reader) -> tuple[list[Study], Rank]:
        """Return the studies this caller may serve, and how they are ranked under given counts."""
        if self.study_id is not None:
            study = reader.study(self.study_id)
            return (
                [study],
                lambda running, _: (
                    [study] if queue.is_open(study) and not queue.is_full(study, running) else []
                ),
            )
        worker = reader.worker(self.worker_id or "")
        studies = [s for s in reader.studies() if not s.is_over and s.study_id not in self.avoid]
        if self.space is None:
            plain = [s for s in studies if queue.is_plain(s)]
            return studies, lambda running, projects: queue.order(plain, running, projects, worker)
        return studies, lambda running, projects: queue.order(studies, running, projects, worker)


@dataclass(kw_only=True)
class _Board:
    """The open trials of the candidate studies while a plan is made."""

    reader: Reader
    caller: Caller
    room: Room | None
    tallies: dict[int, Tally] = field(default_factory=dict)
    waiting: dict[int, list[Trial]] = field(default_factory=dict)
    proposing: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)

    def tally(self, study: Study) -> Tally:
        if study.study_id not in self.tallies:
            self.tallies[study.study_id] = lifecycle.tally(self.reader, study.study_id)
            numbers = self.reader.listed(study.study_id, Listing.WAITING)
            ready = [self.reader.trial(study.study_id, n) for n in numbers]
            self.waiting[study.study_id] = sorted(ready, key=_turn)
        return self.tallies[study.study_id]

    def has_work(self, study: Study) -> bool:
        """Tell whether a trial waits or will: the search goes on, or finalists may come."""
        searching = self.tally(study).searched < study.spec.budget.trials
        return searching or study.spec.repeats is not None or bool(self.waiting[study.study_id])

    def take(self, studies: Iterator[Study]) -> Pick | None:
        """Pick the next trial that has room; keep GPUs for those before it that have none.

        New trials are of one study.
        """
        left = self.room
        self.kept.clear()
        for study in studies:
            others_propose = bool(self.proposing - {study.study_id})
            for trial, need in self._next(study):
                spots = left.spots(need) if left is not None else None
                if left is not None and not spots and self._may_keep(study):
                    self.kept.add(study.study_id)
                    left = left.reserve(need)
                elif spots != () and not (trial is None and others_propose):
                    if spots and self.room is not None:
                        self.room = self.room.take(spots[0])
                    return self._picked(study, trial)
        return None

    def _next(self, study: Study) -> Iterator[tuple[Trial | None, Need]]:
        """Yield a study's next trials, one for each need; None for one still to be proposed."""
        may_propose = self.tally(study).searched < study.spec.budget.trials
        seen: set[float | None] = set()
        for trial in self._fit(study, may_propose=may_propose):
            if trial.share not in seen:
                seen.add(trial.share)
                yield trial, self._need(study, trial)
        if may_propose:
            yield None, self._need(study, None)

    def _fit(self, study: Study, *, may_propose: bool) -> Sequence[Trial]:
        """Return the trials that wait for this caller: if it can, none that failed with it."""
        waiting, worker = self.waiting[study.study_id], self.caller.worker_id
        others = [t for t in waiting if worker is None or t.failed_on != worker]
        if others or (waiting and may_propose and self.caller.has_others(study)):
            return others
        return waiting

    def _need(self, study: Study, trial: Trial | None) -> Need:
        space = self.caller.space
        return asked(
            queue.gpus_of(study),
            learned=space.shares.get(study.study_id) if space is not None else None,
            floor=trial.share if trial is not None else None,
        )

    def _may_keep(self, study: Study) -> bool:
        space, worker_id = self.caller.space, self.caller.worker_id
        if space is None or worker_id is None:
            return False
        count, budget = self.tally(study), study.spec.budget
        trials = len(self.waiting[study.study_id]) + max(0, budget.trials - count.searched)
        if budget.parallel is not None:
            trials = min(trials, budget.parallel - count.running)
        return space.drains.may(worker_id, study.study_id, trials)

    def _picked(self, study: Study, trial: Trial | None) -> Pick:
        count = self.tallies[study.study_id]
        grown = count._replace(running=count.running + 1)
        if trial is not None:
            self.waiting[study.study_id].remove(trial)
        else:
            self.proposing.add(study.study_id)
            grown = grown._replace(searched=count.searched + 1)
        self.tallies[study.study_id] = grown
        return Pick(study, trial.number if trial is not None else None)


def _turn(trial: Trial) -> tuple[bool, int, int]:
    """Order waiting trials: those begun before first, then by origin, then by number."""
    return (trial.attempt == 0, _ORIGINS.index(trial.origin), trial.number)


def plan(reader: Reader, caller: Caller, limits: Limits = NO_LIMITS) -> Plan:
    """Return up to `n` trials to lease, all of which have room.

    Work that a project's quota holds back, or that waits for room, is work: its caller waits.
    """
    studies, rank = caller.candidates(reader)
    board = _Board(
        reader=reader, caller=caller, room=caller.space.room if caller.space is not None else None
    )
    projects: Counter[str] = Counter()
    for study in studies:
        projects[study.spec.queue.project] += board.tally(study).running
    picks: list[Pick] = []
    quota = Parallel(reader, limits)
    while len(picks) < caller.n:
        running = {k: v.running for k, v in board.tallies.items()}
        pick = board.take(s for s in rank(running, projects) if not quota.is_full(s))
        if pick is None:
            break
        picks.append(pick)
        quota.take(pick.study)
        projects[pick.study.spec.queue.project] += 1
    idle = not picks and not any(board.has_work(s) for s in rank({}, {}))
    return Plan(picks, idle, frozenset(board.kept))
