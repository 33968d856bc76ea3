"""Samplers whose study's space was changed: what they learn from trials that lie outside of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from api.sampling.proposer import Proposer
from api.sampling.terms import Result, result_of
from api.sampling.tpe import TpeProposer
from api.search import PROPOSERS
from tests.unit.plain import Plain, history, study
from tests.unit.test_sampling import ask, same
from tuner.space import Categorical
from tuner.trial import Trial

WIDE: dict[str, Any] = {
    "lr": {"min": 1e-4, "max": 1.0, "log": True},
    "batch_size": {"values": [16, 32, 64]},
    "dropout": {"min": 0.0, "max": 0.7},
    "width": {"min": 8, "max": 640, "step": 8},
    "third": {"min": 0.1, "max": 30.1, "step": 0.3},
}
NARROW: dict[str, Any] = {
    "lr": {"min": 1e-3, "max": 0.1, "log": True},
    "batch_size": {"values": [16, 32, 64]},
    "dropout": {"min": 0.2, "max": 0.5},
    "width": {"min": 80, "max": 320, "step": 8},
    "third": {"min": 3.1, "max": 15.1, "step": 0.3},
}
FEWER: dict[str, Any] = {**NARROW, "batch_size": {"values": [64, 16]}}
WIDER: dict[str, Any] = {
    **WIDE,
    "lr": {"min": 1e-6, "max": 10.0, "log": True},
    "batch_size": {"values": [8, 16, 32, 64, 128]},
}


class AsOptuna(Plain):
    """Optuna's sampler on trials as they were: numbers count; a choice that is gone does not."""

    def _frozen(self, trial: Trial) -> FrozenTrial:
        for name, value in trial.params.items():
            parameter = self._space.parameters[name]
            if isinstance(parameter, Categorical) and not parameter.contains(value):
                return self._row(trial.number, {}, Result(OptunaState.FAIL))
        return self._row(trial.number, trial.params, result_of(trial))


@pytest.fixture(autouse=True)
def _no_sampler_failed(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.records == []


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("space", [NARROW, FEWER, WIDER], ids=["narrow", "fewer", "wider"])
def test_tpe_proposes_what_optunas_does(space: dict[str, Any], mode: str) -> None:
    for seed in range(8):
        rng = random.Random(f"{mode} {seed}")
        before = study("tpe", WIDE, seed=seed, mode=mode)
        trials = history(before, rng, rng.choice([12, 40, 150]))
        of = study("tpe", space, seed=seed, mode=mode)
        assert any(of.space.faults(t.params) for t in trials) or space is WIDER
        found = ask(TpeProposer(of), of, trials, 2)
        assert same(found, ask(AsOptuna(of), of, trials, 2))
        assert not any(of.space.faults(point) for point in found)


@pytest.mark.parametrize("space", [NARROW, FEWER, WIDER], ids=["narrow", "fewer", "wider"])
@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "qmc", "random"])
def test_every_sampler_goes_on_within(sampler: str, space: dict[str, Any]) -> None:
    rng = random.Random(7)
    trials = history(study(sampler, WIDE), rng, 30)
    of = study(sampler, space)
    proposer: Proposer = PROPOSERS[sampler](of)
    for point in ask(proposer, of, trials, 4):
        assert of.space.faults(point) == []
    assert proposer.serves(of)
    assert not proposer.serves(study(sampler, WIDE))
