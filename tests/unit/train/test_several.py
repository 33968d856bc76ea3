"""One trial over several seeds: what is told of them, and that it goes on as if uninterrupted."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pytest

from tests.unit.train.trainings import curve, saved, trained
from tuner.errors import InvalidInput
from tuner.train.several import seed_of

SEEDS = [seed_of(3, number) for number in range(3)]


def alone(folder: Path, **more: Any) -> list[list[dict[str, float]]]:
    """Return the curves of the networks that a trial of seed 3 trains."""
    runs = (trained(folder / str(seed), seed=seed, **more) for seed in SEEDS)
    return [[dict(metrics) for metrics in curve(run.reports)] for run in runs]


@pytest.mark.parametrize("rule", ["mean", "worst", "mean_minus_std"])
def test_several_seeds_become_one_value(tmp_path: Path, rule: str) -> None:
    k = {"aggregate_k": 2.0} if rule == "mean_minus_std" else {}
    recipe = {"seeds": 3, "aggregate": rule, **k}
    trial = trained(tmp_path / "all", recipe=recipe)
    single = alone(tmp_path)
    for step, report in enumerate(trial.reports):
        losses = [run[step]["val_loss"] for run in single]
        rights = [run[step]["test_accuracy"] for run in single]
        expected = {
            "mean": (fmean(losses), fmean(rights)),
            "worst": (max(losses), min(rights)),
            "mean_minus_std": (
                fmean(losses) + 2 * pstdev(losses), fmean(rights) - 2 * pstdev(rights)
            ),
        }[rule]  # fmt: skip
        found = report.metrics
        assert report.value == found["val_loss"] == pytest.approx(expected[0])
        assert found["test_accuracy"] == pytest.approx(expected[1])
        assert found["val_loss_std"] == pytest.approx(pstdev(losses))
        grads = [run[step]["grad_norm"] for run in single]
        assert found["grad_norm"] == pytest.approx(fmean(grads))


def test_the_first_seed_is_the_trials_own(tmp_path: Path) -> None:
    assert SEEDS[0] == 3
    assert len(set(SEEDS)) == 3
    one = trained(tmp_path / "one", recipe={"seeds": 1})
    assert curve(one.reports) == curve(trained(tmp_path / "plain").reports)


def test_a_trial_goes_on_to_the_last_bit_from_the_middle_of_an_epoch(tmp_path: Path) -> None:
    recipe = {"seeds": 2}
    whole = trained(tmp_path / "whole", recipe=recipe, steps=3)
    looks = iter(range(10_000))
    # digits have 9 batches: it leaves in the second epoch, between the first seed's and the end
    left = trained(tmp_path / "left", recipe=recipe, steps=3, leave=lambda: next(looks) > 33)
    assert len(left.reports) < 3
    rest = trained(tmp_path / "rest", recipe=recipe, steps=3, resume=left.checkpoints[-1])
    assert curve([*left.reports, *rest.reports]) == curve(whole.reports)


def test_a_seed_that_diverges_is_told(tmp_path: Path) -> None:
    trial = trained(tmp_path, params={"lr": 1e36, "clip_norm": 1e36}, recipe={"seeds": 2})
    assert math.isnan(trial.reports[-1].value)


def test_others_start_from_its_first_network(tmp_path: Path) -> None:
    parent = trained(tmp_path / "parent", recipe={"seeds": 2})
    assert set(saved(parent)["other_seeds"]) == {"1"}
    same = trained(tmp_path / "same")
    sources = [{"start_from": (run.checkpoints[-1].path,)} for run in (parent, same)]
    recipe = {"start_from": "s/0", "freeze": 1}
    curves = [
        curve(trained(tmp_path / str(n), recipe=recipe, sources=given).reports)
        for n, given in enumerate(sources)
    ]
    assert curves[0] == curves[1]


def test_tasks_with_steps_of_their_own_take_seeds_too(tmp_path: Path) -> None:
    trial = trained(tmp_path, "digits-vae", recipe={"seeds": 2}, steps=1)
    assert trial.reports[0].metrics["val_loss_std"] > 0


def test_a_checkpoint_of_fewer_seeds_is_of_another_training(tmp_path: Path) -> None:
    one = trained(tmp_path / "one")
    with pytest.raises(InvalidInput, match="not of this training"):
        trained(tmp_path / "two", recipe={"seeds": 2}, resume=one.checkpoints[-1])
