"""Tasks with steps of their own: their gradients have known values, and they learn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tests.unit.train.trainings import curve, saved
from tuner.defaults import normalise
from tuner.errors import InvalidInput
from tuner.findings import Reported, judged
from tuner.spec import check
from tuner.train import TASKS, cartpole, critic, loop, run, vae
from tuner.train.data import digit_pixels, digits
from tuner.train.engine import Setting
from tuner.train.local import LocalTrial
from tuner.train.recipe import Recipe

OWN = [name for name, info in TASKS.items() if not info.supervised]
QUICK: dict[str, dict[str, Any]] = {
    "cartpole": {"batch_size": 3, "dropout": 0.1},
    "digits-vae": {"batch_size": 300, "dropout": 0.1, "norm": "batch"},
    "digits-critic": {"batch_size": 300, "critic_steps": 2, "dropout": 0.1},
}


def _trained(task: str, folder: Path, recipe: Any = None, **more: Any) -> LocalTrial:
    options = {"device": "cpu", "checkpoint_every": more.pop("every", 0)}
    metric = next(iter(TASKS[task].objectives))
    folder.mkdir(exist_ok=True)
    trial = LocalTrial(params=more.pop("params", {}), **({"steps": 2, "seed": 3} | more))
    run(trial, task, options, metric=metric, recipe=recipe or QUICK[task], folder=folder)
    return trial


@pytest.mark.parametrize("task", OWN)
def test_all_metrics_are_reported_and_the_seed_decides(task: str, tmp_path: Path) -> None:
    one, again, other = (
        _trained(task, tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 1, 2))
    )
    told = {name for name in one.reports[0].metrics if not name.startswith("layer/")}
    assert told == set(TASKS[task].metrics)
    assert all(math.isfinite(x) for x in one.reports[0].metrics.values())
    assert curve(one.reports) == curve(again.reports)
    assert curve(one.reports)[0]["grad_norm"] != curve(other.reports)[0]["grad_norm"]


@pytest.mark.parametrize(
    ("task", "layers"),
    [
        ("cartpole", {"hidden.0.map", "out"}),
        (
            "digits-vae",
            {"encoder.hidden.0.map", "encoder.out", "decoder.hidden.0.map", "decoder.out"},
        ),
        (
            "digits-critic",
            {"generator.hidden.0.map", "generator.out", "critic.hidden.0.map", "critic.out"},
        ),
    ],
)
def test_layers_are_measured(task: str, layers: set[str], tmp_path: Path) -> None:
    metrics = _trained(task, tmp_path, {"batch_size": 4 if task == "cartpole" else 300}, steps=1)
    found = metrics.reports[0].metrics
    for what in ("grad", "update", "var"):
        assert all(found[f"layer/{layer}/{what}"] > 0 for layer in layers), what
    without = LocalTrial(params={}, seed=3, steps=1)
    quiet = {"device": "cpu", "measure_layers": False}
    metric = next(iter(TASKS[task].objectives))
    recipe = {"batch_size": 4 if task == "cartpole" else 300}
    run(without, task, quiet, metric=metric, recipe=recipe)
    told = curve(without.reports)[0]
    assert told == {k: v for k, v in found.items() if k in told}
    assert not any(name.startswith("layer/") for name in told)
    relus = {layer.replace("map", "activation") for layer in layers if layer.endswith("map")}
    assert all(0 <= found[f"layer/{relu}/dead"] < 1 for relu in relus)
    if task == "cartpole":  # one update of the epoch's five: of plain steps, the whole's norm
        parts = [found[f"layer/{layer}/grad"] for layer in layers]
        assert 0.2 < math.hypot(*parts) / found["grad_norm"] < 5


@pytest.mark.parametrize(
    ("task", "more"),
    [*((task, {}) for task in OWN), ("digits-critic", {"critic": "plain", "flip_labels": 0.1})],
)
def test_interrupted_in_the_middle_of_an_epoch(
    task: str, more: dict[str, Any], tmp_path: Path
) -> None:
    recipe = QUICK[task] | {"schedule": "cosine", "optimizer": "adam", "lr": 0.01} | more
    whole = _trained(task, tmp_path / "whole", recipe)
    asked = 0
    under_way = 5 if task == "cartpole" else 4  # steps of an epoch

    def leave() -> bool:
        nonlocal asked
        asked += 1
        return asked > under_way + 1 + 2  # an epoch, the poll after its report, two steps

    first = _trained(task, tmp_path / "first", recipe, leave=leave, every=3600)
    assert saved(first)["batch"] == 2
    second = _trained(task, tmp_path / "second", recipe, resume=first.checkpoints[-1])
    assert curve([*first.reports[:1], *second.reports]) == curve(whole.reports)
    one, other = saved(second), saved(whole)
    networks = [name for name, part in one.items() if isinstance(part, dict) and "model" in part]
    assert networks
    for name in networks:
        for part in ("model", "optimizer"):
            assert all(torch.equal(x, other[name][part][k]) for k, x in one[name][part].items())
    with pytest.raises(InvalidInput, match="not of this training"):
        _trained(task, tmp_path / "other", recipe, seed=4, resume=first.checkpoints[-1])


@pytest.mark.parametrize("task", OWN)
def test_another_trial_s_weights_are_inherited(task: str, tmp_path: Path) -> None:
    first = _trained(task, tmp_path / "first", steps=1)
    resume = replace(first.checkpoints[-1], inherited=True)
    second = _trained(
        task, tmp_path / "second", seed=5, params={"lr": 1e-9}, resume=resume,
        recipe=QUICK[task] | {"optimizer": "adagrad", "momentum": 0.9},
    )  # fmt: skip
    assert [report.step for report in second.reports] == [2]
    one, other = saved(first), saved(second)
    for name in [name for name, part in one.items() if isinstance(part, dict) and "model" in part]:
        for key, weights in one[name]["model"].items():
            if weights.is_floating_point() and "running" not in key:
                torch.testing.assert_close(other[name]["model"][key], weights, atol=1e-5, rtol=0)


def test_pixels_are_of_the_same_digits_as_the_other_tasks() -> None:
    assert torch.equal(digit_pixels().val.y, digits().val.y)
    assert set(digit_pixels().train.x.flatten().tolist()) == {n / 16 for n in range(17)}


@pytest.mark.parametrize("task", OWN)
def test_a_study_of_the_task_needs_no_space(task: str) -> None:
    metric, mode = next(iter(TASKS[task].objectives.items()))
    document = {"objective": {"metric": metric, "mode": mode}, "run": {"task": task}}
    spec, _ = normalise(check(document))
    assert spec.space is not None
    assert set(spec.space) == {"lr", "batch_size", "init_scale", "dropout", "clip_norm"}
    with pytest.raises(InvalidInput, match=f"{task} has no use for it"):
        normalise(check({**document, "run": {"task": task, "recipe": {"shift": 1.0}}}))


def test_fields_of_these_tasks_are_searched_and_refused_elsewhere() -> None:
    document: dict[str, Any] = {"objective": {"metric": "val_loss"}}
    run = {"task": "digits-vae", "recipe": {"latent": {"min": 2, "max": 16}}}
    spec, _ = normalise(check({**document, "run": run}))
    assert spec.space is not None
    assert "latent" in spec.space
    with pytest.raises(InvalidInput, match="digits-mlp has no use for it"):
        normalise(check({**document, "run": {**run, "task": "digits-mlp"}}))
    poles = {"task": "cartpole", "recipe": {"aggregate": "worst", "aggregate_k": 2.0}}
    document = {"objective": {"metric": "val_return", "mode": "max"}}
    with pytest.raises(InvalidInput, match="means nothing without aggregate: mean_minus_std"):
        normalise(check({**document, "run": poles}))


# The autoencoder


def test_the_divergence_is_that_of_normal_distributions() -> None:
    mean, log_variance = (
        torch.tensor([[0.5, -1.0], [0.0, 0.0]]),
        torch.tensor([[0.3, -2.0], [0, 0]]),
    )
    exact = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(vae.divergence(mean, log_variance), exact)


def test_the_gradient_passes_through_the_codes() -> None:
    mean = torch.tensor([0.7], requires_grad=True)
    log_variance = torch.tensor([-0.4], requires_grad=True)
    noise = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(1))
    vae.code(mean, log_variance, noise).square().mean().backward()  # type: ignore[no-untyped-call]
    # E[code²] = mean² + variance: slopes 2 mean and variance.
    assert mean.grad is not None
    assert log_variance.grad is not None
    assert mean.grad.item() == pytest.approx(1.4, abs=0.01)
    assert log_variance.grad.item() == pytest.approx(math.exp(-0.4), abs=0.01)


def test_codes_tell_more_than_the_mean_digit(tmp_path: Path) -> None:
    found = _trained("digits-vae", tmp_path, {"latent": 8}, steps=20).reports[-1].metrics
    x, mean = digit_pixels().val.x, digit_pixels().train.x.mean(0)
    blind = F.binary_cross_entropy(mean.expand_as(x), x, reduction="none").sum(1).mean().item()
    assert found["val_loss"] < blind - 1
    assert found["val_kl"] > 1
    assert found["val_elbo"] == -found["val_loss"]
    assert found["val_loss"] == pytest.approx(found["val_reconstruction"] + found["val_kl"])


# The critic


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope() -> None:
    slope = torch.tensor([3.0, 4.0])

    def judge(x: Tensor) -> Tensor:
        return x @ slope

    rows, share = torch.randn(5, 2), torch.rand(5, 1)
    found = critic.slope_penalty(judge, rows, torch.randn(5, 2), share)
    torch.testing.assert_close(found, torch.full((5,), 16.0))


@pytest.mark.parametrize(
    ("soft", "flip", "real", "made", "alike"),
    [
        # the best critic says what it is told on average: of digits that are surely real, surely
        # made, and as likely the one as the other
        (1.0, 0.0, 1.0, 0.0, 0.5),
        (0.9, 0.0, 0.9, 0.0, 0.45),
        (0.9, 0.2, 0.72, 0.18, 0.45),
        (1.0, 0.25, 0.75, 0.25, 0.5),
    ],
)
def test_the_best_plain_critic_says_what_its_labels_say(
    soft: float, flip: float, real: float, made: float, alike: float
) -> None:
    told = critic.labels(400_000, soft, flip, torch.Generator().manual_seed(1))

    def slope(of_real: float, of_made: float) -> list[float]:
        said = torch.tensor([of_real, of_made]).logit(eps=1e-6).requires_grad_()
        rows = said[:, None].expand(2, 400_000)
        critic.plain_loss(rows[0], rows[1], told).backward()  # type: ignore[no-untyped-call]
        assert said.grad is not None
        return said.grad.tolist()

    assert slope(real, made) == pytest.approx([0, 0], abs=0.003)
    assert sum(slope(alike, alike)) == pytest.approx(0, abs=0.003)


def test_a_plain_critic_that_knows_nothing_has_a_loss_of_two_bits() -> None:
    told = critic.labels(3, 1.0, 0.0, torch.Generator())
    assert critic.plain_loss(torch.zeros(3), torch.zeros(3), told).item() == pytest.approx(
        2 * math.log(2)
    )


def test_the_sliced_distance_of_a_shift_is_its_length_along_each_direction() -> None:
    rows = torch.randn(50, 2)
    moved = (rows + torch.tensor([3.0, 0.0]))[torch.randperm(50)]
    ways = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert critic.sliced_distance(rows, moved, ways).item() == pytest.approx(1.5)
    assert critic.sliced_distance(rows, rows.flip(0), ways).item() == 0


@pytest.mark.parametrize("kind", ["wasserstein", "plain"])
def test_the_generator_comes_nearer_to_the_digits(kind: str, tmp_path: Path) -> None:
    recipe = {"batch_size": 64, "critic": kind}
    reports = _trained("digits-critic", tmp_path, recipe, steps=4).reports
    first, last = reports[0].metrics, reports[-1].metrics
    assert last["val_loss"] < 0.7 * first["val_loss"]
    assert last["penalty"] < 0.1  # the slope is near 1; a plain critic has none


def test_soft_and_flipped_labels_make_a_plain_critic_less_sure(tmp_path: Path) -> None:
    apart = []
    for n, labels in enumerate(({}, {"soft_label": 0.8}, {"soft_label": 0.8, "flip_labels": 0.2})):
        recipe = {"critic": "plain", **labels}
        report = _trained("digits-critic", tmp_path / str(n), recipe, steps=3).reports[-1]
        apart.append(report.metrics["train_distance"])
    assert apart[0] > 1.1 * apart[1] > 1.2 * apart[2]


# The policy


def test_returns_to_go_are_discounted() -> None:
    rewards = torch.tensor([[1.0, 2.0], [1.0, 0.0], [4.0, 0.0]])
    found = cartpole.returns_to_go(rewards, 0.5)
    assert found.tolist() == [[2.5, 2.0], [3.0, 0.0], [4.0, 0.0]]


def test_the_baseline_is_of_the_other_episodes() -> None:
    returns = torch.tensor([[1.0, 2.0, 6.0]])
    assert cartpole.without_own(returns).tolist() == [[4.0, 3.5, 1.5]]
    assert cartpole.without_own(returns[:, :1]).tolist() == [[0.0]]


def test_the_score_function_s_gradient_is_that_of_the_mean_reward() -> None:
    # Two actions of one step, worth 1 and 3: d E[reward] / d logit_1 = 2 p (1 - p).
    logits = torch.tensor([0.2, -0.5], requires_grad=True)
    chance = logits.softmax(0)[1].item()
    draw = torch.Generator().manual_seed(1)
    actions = (torch.rand(1, 400_000, generator=draw) < chance).long()
    log_probabilities = logits.log_softmax(0)[actions]
    loss = cartpole.score_loss(log_probabilities, 1.0 + 2 * actions, torch.ones(actions.shape))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    expected = 2 * chance * (1 - chance)
    assert -logits.grad[1].item() == pytest.approx(expected, abs=0.005)
    assert -logits.grad[0].item() == pytest.approx(-expected, abs=0.005)


def test_steps_after_an_episodes_end_do_not_count() -> None:
    draw = torch.Generator().manual_seed(1)
    said, returns = torch.randn(3, 2, generator=draw), torch.rand(3, 2, generator=draw)
    alive = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    returns *= alive
    found = cartpole.score_loss(said, returns, alive)
    # four steps were lived: the baseline of each is what the other episode still gets
    by_hand = -(said[0, 0] * (returns[0, 0] - returns[0, 1])
                + said[0, 1] * (returns[0, 1] - returns[0, 0])
                + said[1, 0] * returns[1, 0] + said[2, 0] * returns[2, 0]) / 4  # fmt: skip
    torch.testing.assert_close(found, by_hand)
    more = [torch.cat((x, y)) for x, y in ((said, torch.randn(2, 2)), (returns, torch.zeros(2, 2)))]
    longer = cartpole.score_loss(more[0], more[1], torch.cat((alive, torch.zeros(2, 2))))
    torch.testing.assert_close(longer, found)


def test_the_reward_scale_is_a_factor_of_the_gradient() -> None:
    info, moved = TASKS["cartpole"], []
    plain = {"optimizer": "sgd", "clip_norm": 1e9, "batch_size": 4, "discount": 0.9}
    for scale in (0.05, 0.15):
        recipe = Recipe.from_params({"reward_scale": scale}, info.defaults, plain)
        device = torch.device("cpu")
        engine = cartpole.start(
            Setting(info=info, recipe=recipe, seed=1, device=device, precision="fp32", steps=1)
        )
        weights = engine.updaters["model"].weights.value
        before = weights.clone()
        engine.step(0, 0.1)
        moved.append(weights - before)
    assert moved[0].norm() > 0
    torch.testing.assert_close(moved[1], 3 * moved[0], rtol=1e-3, atol=1e-6)


def test_environments_differ_within_reach_and_unseen_ones_beyond() -> None:
    draw = np.random.RandomState(0)
    known = np.array([cartpole.factors(draw, 1.0, 1.5) for _ in range(200)])
    assert known.min() >= 1 / 1.5
    assert known.max() <= 1.5
    unseen = np.array([cartpole.factors(draw, *cartpole._UNSEEN) for _ in range(200)])
    assert np.abs(np.log(unseen)).min() > math.log(1.5)
    pole = cartpole.Pole([2.0, 1.0, 3.0, 1.0, 1.0])
    assert pole.gravity == pytest.approx(19.6)
    assert pole.total_mass == pytest.approx(1.3)
    assert pole.polemass_length == pytest.approx(0.15)


def test_rewards_are_scaled_and_episodes_differ_in_their_environments(tmp_path: Path) -> None:
    def played(**more: float) -> dict[str, float]:
        # The rate is so small that the policy stays as it is: the same actions are drawn.
        recipe = {"batch_size": 8, "lr": 1e-12, **more}
        folder = tmp_path / "-".join(map(str, more.values()))
        return dict(_trained("cartpole", folder, recipe, steps=1).reports[0].metrics)

    plain, scaled = played(reward_scale=0.05), played(reward_scale=0.2)
    assert scaled["grad_norm"] == pytest.approx(4 * plain["grad_norm"], rel=1e-3)
    assert scaled["train_return"] == plain["train_return"]
    alike, apart = played(randomise=0.0), played(randomise=0.5)
    assert alike["train_return"] != apart["train_return"]
    # What is evaluated in does not depend on it, but for the environments that are known.
    assert alike["val_return"] == apart["val_return"]
    assert alike["known_return"] != apart["known_return"]


def test_a_pole_is_balanced_longer(tmp_path: Path) -> None:
    reports = _trained("cartpole", tmp_path, {"lr": 0.3}, steps=4, seed=1).reports
    first, last = reports[0].metrics, reports[-1].metrics
    assert last["train_return"] > 2 * first["train_return"]
    assert last["gap"] == pytest.approx(last["known_return"] - last["val_mean_return"])


def test_a_policy_s_surrogate_is_not_taken_for_a_loss_that_should_fall(tmp_path: Path) -> None:
    reports = _trained("cartpole", tmp_path, {"batch_size": 8}, steps=9, seed=0).reports
    reported = [Reported.of(r.step, r.value, 1.0, r.metrics, "val_return") for r in reports]
    assert not judged(reported)
    falls = [replace(r, train=r.metrics["policy_loss"]) for r in reported]
    assert [found.rule for found in judged(falls)] == ["bounces"]
    broken = {"policy_loss": math.nan, "val_return": 500.0}
    assert math.isnan(loop.objective(broken, "val_return"))


def test_the_objective_is_the_aggregate(tmp_path: Path) -> None:
    recipe = {"batch_size": 4, "aggregate": "worst"}
    metrics = _trained("cartpole", tmp_path, recipe, steps=1).reports[0].metrics
    assert metrics["val_return"] == metrics["val_worst_return"] < metrics["val_mean_return"]
