"""Which trials to lease next. Pure: made on memory to look, and again on a transaction to lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from api import lifecycle, queue
from api.lifecycle import Tally
from api.limits.quotas import Parallel
from api.limits.settings import Limits
from storage import Listing, Reader
from tuner.study import Study
from tuner.trial import Origin, Trial

_ORIGINS = (Origin.ENQUEUED, Origin.FOLK, Origin.FINALIST, Origin.SAMPLED)
NO_LIMITS = Limits()
Rank = Callable[[Mapping[int, int], Mapping[str, int]], Sequence[Study]]


class Pick(NamedTuple):
    """A trial to lease. `number` is None for one that is still to be proposed."""

    study: Study
    number: int | None


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks, by its access token: a worker, or the loop of an external study.

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
        return studies, lambda running, projects: queue.order(studies, running, projects, worker)


@dataclass(kw_only=True)
class _Board:
    """The open trials of the candidate studies while a plan is made."""

    reader: Reader
    caller: Caller
    tallies: dict[int, Tally] = field(default_factory=dict)
    waiting: dict[int, list[int]] = field(default_factory=dict)

    def tally(self, study: Study) -> Tally:
        if study.study_id not in self.tallies:
            self.tallies[study.study_id] = lifecycle.tally(self.reader, study.study_id)
            numbers = self.reader.listed(study.study_id, Listing.WAITING)
            ready = [self.reader.trial(study.study_id, n) for n in numbers]
            self.waiting[study.study_id] = [t.number for t in sorted(ready, key=_turn)]
        return self.tallies[study.study_id]

    def has_work(self, study: Study) -> bool:
        """Tell whether a trial waits or will: the search goes on, or finalists may come."""
        searching = self.tally(study).searched < study.spec.budget.trials
        return searching or study.spec.repeats is not None or bool(self.waiting[study.study_id])

    def take(self, study: Study, proposing: set[int]) -> Pick | None:
        """Pick the study's next trial; new ones from one study at a time."""
        count = self.tally(study)
        may_propose = count.searched < study.spec.budget.trials and not proposing - {study.study_id}
        number = self._waiting(study, may_propose=may_propose)
        if number is not None:
            self.waiting[study.study_id].remove(number)
            self.tallies[study.study_id] = count._replace(running=count.running + 1)
            return Pick(study, number)
        if not may_propose:
            return None
        proposing.add(study.study_id)
        grown = count._replace(running=count.running + 1, searched=count.searched + 1)
        self.tallies[study.study_id] = grown
        return Pick(study, None)

    def _waiting(self, study: Study, *, may_propose: bool) -> int | None:
        """Return the trial that waits for this caller: if it can, not one that failed with it."""
        numbers, worker = self.waiting[study.study_id], self.caller.worker_id
        if worker is None or not numbers:
            return numbers[0] if numbers else None
        trials = (self.reader.trial(study.study_id, number) for number in numbers)
        found = next((trial.number for trial in trials if trial.failed_on != worker), None)
        if found is None and not (may_propose and self.caller.has_others(study)):
            return numbers[0]
        return found


def _turn(trial: Trial) -> tuple[bool, int, int]:
    """Order waiting trials: those begun before first, then by origin, then by number."""
    return (trial.attempt == 0, _ORIGINS.index(trial.origin), trial.number)


def plan(reader: Reader, caller: Caller, limits: Limits = NO_LIMITS) -> tuple[list[Pick], bool]:
    """Return up to `n` trials to lease, and whether there is no work for this caller at all.

    Work that a project's quota holds back is work: its caller waits.
    """
    studies, rank = caller.candidates(reader)
    board = _Board(reader=reader, caller=caller)
    projects: Counter[str] = Counter()
    for study in studies:
        projects[study.spec.queue.project] += board.tally(study).running
    picks: list[Pick] = []
    proposing: set[int] = set()
    quota = Parallel(reader, limits)
    while len(picks) < caller.n:
        running = {k: v.running for k, v in board.tallies.items()}
        found = (board.take(s, proposing) for s in rank(running, projects) if not quota.is_full(s))
        pick = next((p for p in found if p is not None), None)
        if pick is None:
            break
        picks.append(pick)
        quota.take(pick.study)
        projects[pick.study.spec.queue.project] += 1
    idle = not picks and not any(board.has_work(s) for s in rank({}, {}))
    return picks, idle
