"""Our proposals are Optuna's: the same points from the same seed, on random histories."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler, TPESampler
from optuna.samplers._tpe._truncnorm import _log_gauss_mass
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator

from api.sampling.parzen import Parzen, _mass
from api.sampling.proposer import Proposer, RandomProposer
from api.sampling.sobol import SobolProposer
from api.sampling.terms import Point
from api.sampling.tpe import TpeProposer
from tests.unit.plain import Plain, history, study, trial
from tuner.decision import Outcome
from tuner.study import Study
from tuner.trial import Report, Trial

# Among a few whole numbers, proposed alone, two may be equally good by symmetry; then the rounding
# of their densities decides, and it may differ. So no space has such a parameter.
SPACES: dict[str, dict[str, Any]] = {
    "default": {
        "lr": {"min": 1e-4, "max": 1.0, "log": True},
        "batch_size": {"values": [16, 32, 64, 128, 256]},
        "init_scale": {"min": 0.03, "max": 3.0, "log": True},
        "dropout": {"min": 0.0, "max": 0.7},
        "clip_norm": {"min": 0.5, "max": 20.0, "log": True},
    },
    "conditional": {
        "lr": {"min": 1e-4, "max": 1.0, "log": True},
        "width": {"min": 8, "max": 64, "step": 8},
        "third": {"min": 0.1, "max": 1.0, "step": 0.3},
        "optimizer": {"values": ["sgd", "adam"]},
        "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "sgd"}},
        "nesterov": {"values": [True, False], "when": {"optimizer": "sgd"}},
        "beta": {"min": 1, "max": 500, "log": True, "when": {"optimizer": "adam"}},
        "fixed": {"value": 7},
    },
    "whole": {
        "units": {"min": 1, "max": 100_000, "log": True},
        "depth": {"min": -3, "max": 40},
        "rank": {"min": 1, "max": 7, "step": 3},
    },
    "all conditional": {
        "kind": {"value": "a"},
        "x": {"min": -5.0, "max": 5.0, "when": {"kind": "a"}},
        "n": {"min": 1, "max": 500, "when": {"kind": "a"}},
    },
}
OURS: dict[str, type[Proposer]] = {
    "tpe": TpeProposer,
    "random": RandomProposer,
    "qmc": SobolProposer,
}


@pytest.fixture(autouse=True)
def _no_sampler_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """A sampler that fails is replaced by a random draw, which is the same for both sides."""
    yield
    assert caplog.records == []


def same(found: Sequence[Point], expected: Sequence[Point]) -> bool:
    """Tell whether points are the same, numbers within 1e-9 of each other."""
    return len(found) == len(expected) and all(
        a.keys() == b.keys()
        and all(type(a[k]) is type(b[k]) for k in a)
        and all(a[k] == b[k] or math.isclose(a[k], b[k], rel_tol=1e-9) for k in a)  # type: ignore[arg-type]
        for a, b in zip(found, expected, strict=True)
    )


def ask(proposer: Proposer, of: Study, trials: Sequence[Trial], count: int = 1) -> list[Point]:
    return proposer.propose(of, len(trials), trials, count)


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_random_histories(sampler: str, space: str, mode: str) -> None:
    for seed in range(12):
        rng = random.Random(f"{space} {mode} {seed}")
        of = study(sampler, SPACES[space], seed=seed, mode=mode)
        trials = history(of, rng, rng.choice([0, 3, 12, 40, 150, 400]))
        count = rng.randrange(1, 4)
        expected = ask(Plain(of), of, trials, count)
        assert same(ask(OURS[sampler](of), of, trials, count), expected)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_more_good_trials_than_complete_ones(mode: str) -> None:
    """Then pruned trials count as good: those that came far, then those with the better value."""
    for seed in range(30):
        rng = random.Random(f"{mode} {seed}")
        of = study("tpe", SPACES["conditional"], seed=seed, mode=mode)
        outcomes = [Outcome.COMPLETE, Outcome.DIVERGED, *(28 * [Outcome.PRUNED])]
        trials = history(of, rng, rng.choice([12, 40, 150]), outcomes)
        assert same(ask(TpeProposer(of), of, trials), ask(Plain(of), of, trials))


@pytest.mark.parametrize("mode", ["min", "max"])
def test_values_that_are_no_numbers_tie_with_the_worst(mode: str) -> None:
    worst = math.inf if mode == "min" else -math.inf
    of, rng = study("tpe", SPACES["default"], mode=mode), random.Random(5)
    trials = history(of, rng, 8, [Outcome.DIVERGED])
    for number, value in enumerate([math.nan, worst]):
        reports = (Report(1, value, 1.0),)
        trials[number] = trials[number].evolve(outcome=Outcome.PRUNED, reports=reports)
    assert same(ask(TpeProposer(of), of, trials), ask(Plain(of), of, trials))


def test_hyperbands_brackets_part_no_trials() -> None:
    pruner = {"name": "hyperband", "min": 1, "max": 3, "eta": 3}
    of, rng = study("tpe", SPACES["default"], pruner=pruner), random.Random(1)
    trials = history(of, rng, 90)
    assert same(ask(TpeProposer(of), of, trials), ask(Plain(of), of, trials))


@pytest.mark.parametrize(
    "distribution",
    [
        FloatDistribution(-3.0, 5.0),
        FloatDistribution(1e-5, 1e3, log=True),
        IntDistribution(-1000, 1000),
        IntDistribution(1, 10**6, log=True),
        IntDistribution(0, 10, step=5),
        CategoricalDistribution(["a", "b", "c"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("count", [0, 1, 30, 3000])
def test_densities(distribution: BaseDistribution, count: int) -> None:
    rng, space = np.random.RandomState(count), {"x": distribution}
    nobody: Any = None
    drawn = [
        RandomSampler(seed=i).sample_independent(nobody, nobody, "x", distribution)
        for i in range(count + 40)
    ]
    code = np.array([distribution.to_internal_repr(x) for x in drawn], float)
    low = float(getattr(distribution, "low", 0.0))
    observed, asked = {"x": code[:count]}, {"x": np.append(code[count:], low)}
    options = TPESampler(seed=0)._parzen_estimator_parameters
    ours = Parzen(observed, space, options)
    plain = _ParzenEstimator(observed, space, options)
    expected = plain.log_pdf(asked)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(ours.log_pdf(asked), expected, rtol=1e-9, atol=1e-9)
    state = rng.get_state()
    sampled = ours.sample(rng, 24)["x"]
    rng.set_state(state)
    np.testing.assert_array_equal(sampled, plain.sample(rng, 24)["x"])


def test_masses() -> None:
    """Between edges on both sides of zero and far out on either."""
    low, width = np.meshgrid(np.linspace(-35, 35, 701), [0.05, 0.5, 3.0, 40.0])
    mu, sigma = np.full(low.shape, 2.0), np.full(low.shape, 0.5)
    found = _mass(mu + sigma * low, mu + sigma * (low + width), mu, sigma)
    expected = _log_gauss_mass(low.ravel(), (low + width).ravel()).reshape(low.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("space", ["default", "conditional"])
@pytest.mark.parametrize("sampler", OURS)
def test_a_study_as_it_grows(sampler: str, space: str) -> None:
    constraints = ["lr <= 0.3"] if space == "conditional" else []
    of, rng = study(sampler, SPACES[space], constraints), random.Random(space)
    ours, plain, trials = OURS[sampler](of), Plain(of), list[Trial]()
    while len(trials) < 60:
        points = ask(ours, of, trials, 2)
        assert same(points, ask(plain, of, trials, 2))
        for point in points[: rng.randrange(1, 3)]:
            trials.append(trial(len(trials), point, rng))
        for i, old in enumerate(trials):
            if old.outcome is None and rng.random() < 0.5:
                trials[i] = trial(i, dict(old.params), rng)


def test_many_trials() -> None:
    """Enough kernels for Optuna's other branch of the error function, from 2,000 values on."""
    of, rng = study("tpe", SPACES["default"]), random.Random(7)
    trials = history(of, rng, 3000)
    ours, plain = TpeProposer(of), Plain(of)
    for _ in range(5):
        (point,) = ask(ours, of, trials)
        assert same([point], ask(plain, of, trials))
        trials.append(trial(len(trials), point, rng))
