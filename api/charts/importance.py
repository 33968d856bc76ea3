"""Which parameters matter: Optuna's PED-ANOVA over the trials that trained to their end."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study as OptunaStudy
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from api.views import MEASURED
from tuner.handle import ParamValue
from tuner.space import Categorical, Parameter
from tuner.study import Study
from tuner.trial import Origin, Trial
from tuner.wire.charts import Importance, ImportanceBar

LEAST_TRIALS = 10
_TOP_SHARE = 0.1
_TOP_TRIALS = 5
"""PED-ANOVA compares the best with all. Its authors ask for five of the best at least."""
_STUDIES = 64
_REST = 10.0
"""After a computation the next one waits this many times as long as it took."""

_log = logging.getLogger(__name__)


def measured(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose values compare: trained to their end, finite, no fresh-seed runs."""
    return [
        t
        for t in trials
        if t.outcome in MEASURED
        and t.origin is not Origin.FINALIST
        and t.value is not None
        and math.isfinite(t.value)
    ]


def importances(study: Study, trials: Sequence[Trial]) -> dict[str, float]:
    """Return each varying parameter's share of what tells the best trials from all, largest first.

    PED-ANOVA (Watanabe et al. 2023, https://arxiv.org/abs/2304.10255) takes a second for 10,000
    trials, where fANOVA takes minutes, and knows parameters that exist only under conditions.

    Args:
        study: their study.
        trials: as `measured` returns them, at least `LEAST_TRIALS`.
    """
    # It brings scikit-learn, a third of the time that a server would take to start.
    from optuna.importance import PedAnovaImportanceEvaluator

    domains = {
        name: domain
        for name, parameter in study.space.parameters.items()
        if (domain := _domain(parameter, [t.params[name] for t in trials if name in t.params]))
    }
    if not domains:
        return {}
    frozen = [_frozen(i, t, domains) for i, t in enumerate(trials)]
    share = min(0.5, max(_TOP_SHARE, _TOP_TRIALS / len(trials)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=share)
        view = cast("OptunaStudy", _View(frozen, minimise=study.spec.objective.mode == "min"))
        found = evaluator.evaluate(view)
    total = sum(found.values())
    if not total > 0:
        return {}
    shares = {name: float(value) / total for name, value in found.items()}
    return dict(sorted(shares.items(), key=lambda item: (-item[1], item[0])))


class _View:
    """What PED-ANOVA asks of a study. One of Optuna's own copies each trial, which takes longer."""

    def __init__(self, trials: list[FrozenTrial], *, minimise: bool) -> None:
        self.directions = [StudyDirection.MINIMIZE if minimise else StudyDirection.MAXIMIZE]
        self._trials = trials

    def get_trials(self, **_: Any) -> list[FrozenTrial]:
        return self._trials

    def _is_multi_objective(self) -> bool:
        return False


def _frozen(i: int, trial: Trial, domains: Mapping[str, BaseDistribution]) -> FrozenTrial:
    kept = {name: value for name, value in trial.params.items() if name in domains}
    return FrozenTrial(
        number=i,
        state=OptunaState.COMPLETE,
        value=trial.value,
        datetime_start=None,
        datetime_complete=None,
        params=kept,
        distributions={name: domains[name] for name in kept},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=i,
    )


def _domain(parameter: Parameter, values: Sequence[ParamValue]) -> BaseDistribution | None:
    """Return a domain that holds all values, also those of earlier spaces; None for a constant."""
    if len(set(values)) < 2:
        return None
    if isinstance(parameter, Categorical):
        return CategoricalDistribution(tuple(dict.fromkeys((*parameter.values, *values))))
    numbers = [float(v) for v in values if not isinstance(v, str)]
    if len(numbers) < len(values):
        return CategoricalDistribution(tuple(dict.fromkeys(values)))
    low, high = min(parameter.low, *numbers), max(parameter.high, *numbers)
    log = parameter.log and low > 0
    if parameter.integer and all(n.is_integer() for n in numbers):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


@dataclass(frozen=True, kw_only=True)
class _Found:
    shares: Mapping[str, float]
    n: int
    at: datetime
    rest_until: float
    failed: bool = False


class Importances:
    """Importances of the studies looked at last, computed one at a time in a thread of their own.

    Guarantees: `of` never waits. It returns what is known, however old, and has it computed anew
    once trials have ended since. Use it on the event loop.

    Args:
        compute: what finds the importances.
    """

    def __init__(
        self, compute: Callable[[Study, Sequence[Trial]], Mapping[str, float]] = importances
    ) -> None:
        self._compute = compute
        self._found: dict[int, _Found] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._thread: ThreadPoolExecutor | None = None

    def of(self, study: Study, trials: Sequence[Trial], now: datetime) -> Importance:
        """Return a study's importances as far as they are known."""
        kept = measured(trials)
        found = self._found.get(study.study_id)
        if len(kept) < LEAST_TRIALS:
            why = (
                f"{len(kept)} of the {LEAST_TRIALS} trials it takes have trained to their end "
                "with a value"
            )
            return Importance(state="unavailable", why=why, n=len(kept))
        if self._is_due(study.study_id, found, len(kept)):
            self._begin(study, kept, now)
        if found is None:
            return Importance(state="computing", n=len(kept))
        if found.failed:
            why = "Optuna could not compute it; the server's log says why"
            return Importance(state="unavailable", why=why, n=len(kept))
        if not found.shares:
            why = "no parameter tells the best trials from the others"
            return Importance(state="unavailable", why=why, n=found.n, at=found.at)
        return Importance(
            state="ready",
            n=found.n,
            at=found.at,
            behind=max(0, len(kept) - found.n),
            items=[ImportanceBar(name=k, share=round(v, 6)) for k, v in found.shares.items()],
        )

    async def close(self) -> None:
        """End what is being computed."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    def _is_due(self, study_id: int, found: _Found | None, n: int) -> bool:
        if study_id in self._running:
            return False
        return found is None or (found.n != n and time.monotonic() >= found.rest_until)

    def _begin(self, study: Study, kept: Sequence[Trial], now: datetime) -> None:
        task = asyncio.create_task(self._run(study, kept, now))
        self._running[study.study_id] = task
        task.add_done_callback(lambda _: self._running.pop(study.study_id, None))

    async def _run(self, study: Study, kept: Sequence[Trial], now: datetime) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="importance")
        begin, failed, shares = time.monotonic(), False, dict[str, float]()
        try:
            shares = dict(
                await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._compute, study, kept
                )
            )
        except Exception:
            _log.exception("the importances of study %d can't be computed", study.study_id)
            failed = True
        end = time.monotonic()
        self._found.pop(study.study_id, None)
        self._found[study.study_id] = _Found(
            shares=shares,
            n=len(kept),
            at=now,
            rest_until=end + _REST * (end - begin),
            failed=failed,
        )
        while len(self._found) > _STUDIES:
            self._found.pop(next(iter(self._found)))
