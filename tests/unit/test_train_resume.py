"""A training that was interrupted and resumed is equal to the undisturbed one, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.decision import Action, Decision
from tuner.errors import InvalidInput
from tuner.handle import Resume
from tuner.train import run, state
from tuner.train.local import LocalReport, LocalTrial

Curve = list[Mapping[str, float]]

# 1,078 rows in batches of 360: three batches an epoch.
MLP: dict[str, Any] = {"batch_size": 360, "dropout": 0.3, "clip_norm": 1.0}


def _halve_after_2(reports: Sequence[LocalReport]) -> Decision:
    return Decision(lr_factor=0.5 if reports[-1].step >= 2 else 1.0)


def _leave_at(poll: int) -> Callable[[], bool]:
    """Ask to leave at a poll, from 0, and ever after."""
    polls = iter(range(10_000))
    return lambda: next(polls) >= poll


def _curve(*trials: LocalTrial) -> Curve:
    reports = [report for trial in trials for report in trial.reports]
    assert [report.step for report in reports] == list(range(1, len(reports) + 1))
    return [{k: v for k, v in r.metrics.items() if k != "epoch_seconds"} for r in reports]


def _last_state(trial: LocalTrial) -> dict[str, torch.Tensor]:
    tree = state.load(trial.checkpoints[-1].path)
    assert (tree["epoch"], tree["batch"]) == (trial.steps, 0)
    return {**tree["model"], **tree.get("optimizer", {})}


def _run(trial: LocalTrial, task: str, folder: Path) -> LocalTrial:
    folder.mkdir(exist_ok=True)
    run(trial, task, {"device": "cpu", "checkpoint_every": 0}, folder=folder)
    return trial


def _attempt(params: Mapping[str, Any], steps: int, **more: Any) -> LocalTrial:
    return LocalTrial(params=params, seed=3, steps=steps, decide=_halve_after_2, **more)


def _interrupted(
    task: str, params: Mapping[str, Any], steps: int, poll: int, folder: Path
) -> tuple[LocalTrial, LocalTrial]:
    first = _run(_attempt(params, steps, leave=_leave_at(poll)), task, folder / "first")
    resume = first.checkpoints[-1] if first.checkpoints else None
    first.reports = [r for r in first.reports if resume is not None and r.step <= resume.step]
    factor = first.lr_factor if resume is not None else 1.0
    second = _attempt(params, steps, resume=resume, lr_factor=factor)
    return first, _run(second, task, folder / "second")


@pytest.mark.parametrize(
    "params",
    [
        MLP,
        MLP | {"optimizer": "nesterov", "weight_decay": 0.01},
        MLP | {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.01},
    ],
    ids=["momentum", "nesterov", "adamw"],
)
def test_interrupted_at_any_batch(params: Mapping[str, Any], tmp_path: Path) -> None:
    steps, polls = 4, 4 * (3 + 1)  # a poll before each batch and one after each report
    whole = _run(_attempt(params, steps), "digits-mlp", tmp_path / "whole")
    assert [m["lr"] for m in _curve(whole)] == [r * params.get("lr", 0.1) for r in (1, 1, 0.5, 0.5)]
    for poll in range(polls - 1):
        folder = tmp_path / str(poll)
        folder.mkdir()
        first, second = _interrupted("digits-mlp", params, steps, poll, folder)
        assert first.should_stop
        assert len(first.reports) < steps
        assert _curve(first, second) == _curve(whole)
        for name, tensor in _last_state(second).items():
            assert torch.equal(tensor, _last_state(whole)[name]), name


@pytest.mark.parametrize(("task", "poll"), [("digits-cnn", 3), ("adding-lstm", 11)])
def test_other_networks(task: str, poll: int, tmp_path: Path) -> None:
    params = {"batch_size": 600, "dropout": 0.2}
    whole = _run(_attempt(params, 3), task, tmp_path / "whole")
    first, second = _interrupted(task, params, 3, poll, tmp_path)
    assert second.resume is not None
    assert _curve(first, second) == _curve(whole)


def test_a_checkpoint_can_hold_part_of_an_epoch(tmp_path: Path) -> None:
    options = {"device": "cpu", "checkpoint_every": 3600}
    trial = LocalTrial(params=MLP, seed=3, steps=3, leave=_leave_at(6))
    run(trial, "digits-mlp", options, folder=tmp_path)
    (resume,) = trial.checkpoints  # epoch 1 took polls 0 to 3; poll 6 comes before its last batch
    tree = state.load(resume.path)
    assert (resume.step, tree["epoch"], tree["batch"]) == (1, 1, 2)
    again = LocalTrial(params=MLP, seed=3, steps=3, resume=resume)
    whole = LocalTrial(params=MLP, seed=3, steps=3)
    for one in (again, whole):
        run(one, "digits-mlp", options, folder=tmp_path)
    assert _curve(trial, again) == _curve(whole)
    assert again.reports[0].metrics["epoch_seconds"] > tree["seconds"] > 0


def test_fp16_goes_on_with_its_loss_scale(tmp_path: Path) -> None:
    options = {"device": "cpu", "precision": "fp16", "checkpoint_every": 0}
    whole = LocalTrial(params=MLP, seed=3, steps=3)
    run(whole, "digits-mlp", options, folder=tmp_path)
    last = state.load(whole.checkpoints[-1].path)
    first = LocalTrial(params=MLP, seed=3, steps=3, leave=_leave_at(5))
    run(first, "digits-mlp", options, folder=tmp_path)
    second = LocalTrial(params=MLP, seed=3, steps=3, resume=first.checkpoints[-1])
    run(second, "digits-mlp", options, folder=tmp_path)
    assert _curve(first, second) == _curve(whole)
    again = state.load(second.checkpoints[-1].path)
    assert again["scale"] == last["scale"]
    assert last["scale"]["good"] > 6  # of 9 steps, none forgotten


def test_a_trial_that_had_finished_reports_nothing_again(tmp_path: Path) -> None:
    done = _run(_attempt(MLP, 2), "digits-mlp", tmp_path)
    again = _run(_attempt(MLP, 2, resume=done.checkpoints[-1]), "digits-mlp", tmp_path)
    assert (again.reports, again.checkpoints) == ([], [])


@pytest.mark.parametrize(
    ("task", "change"),
    [
        ("digits-cnn", {}),
        ("digits-mlp", {"seed": 4}),
        ("digits-mlp", {"params": MLP | {"lr": 0.2}}),
        ("digits-mlp", {"step": 1}),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(
    task: str, change: Mapping[str, Any], tmp_path: Path
) -> None:
    left = _run(_attempt(MLP, 2), "digits-mlp", tmp_path).checkpoints[-1]
    resume = Resume(step=change.get("step", left.step), path=left.path)
    trial = LocalTrial(
        params=change.get("params", MLP), seed=change.get("seed", 3), steps=4, resume=resume
    )
    with pytest.raises(InvalidInput, match="not of this training"):
        run(trial, task, folder=tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.pop("model"),
        lambda tree: tree["model"].pop("out.bias"),
        lambda tree: tree["model"].update({"out.bias": torch.zeros(11)}),
        lambda tree: tree.update(model=1),
        lambda tree: tree.pop("optimizer"),
        lambda tree: tree["optimizer"].update(momentum=torch.zeros(3)),
        lambda tree: tree.update(batch=1),
        lambda tree: tree.update(records=torch.zeros(2, 3)),
        lambda tree: tree.update(records=[1, 2]),
        lambda tree: tree.update(seconds="soon"),
        lambda tree: tree.pop("batch"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(
    spoil: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    left = _run(_attempt(MLP, 2), "digits-mlp", tmp_path).checkpoints[-1]
    tree = state.load(left.path)
    spoil(tree)
    state.save(left.path, tree)
    with pytest.raises(InvalidInput, match="does not fit"):
        _run(_attempt(MLP, 4, resume=left), "digits-mlp", tmp_path)


def test_after_a_decision_to_stop_nothing_more_is_done(tmp_path: Path) -> None:
    trial = _attempt(MLP, 5)
    trial.decide = lambda reports: Decision(
        action=Action.STOP if len(reports) == 2 else Action.CONTINUE
    )
    _run(trial, "digits-mlp", tmp_path)
    assert [report.step for report in trial.reports] == [1, 2]
    assert [checkpoint.step for checkpoint in trial.checkpoints] == [1]


def test_another_trials_weights_are_taken_over(tmp_path: Path) -> None:
    first = _run(_attempt(MLP, 2), "digits-mlp", tmp_path / "first")
    resume = Resume(step=0, path=first.checkpoints[-1].path, inherited=True)
    more = {"lr": 0.01, "optimizer": "adam", "dropout": 0.0}
    second = LocalTrial(params=MLP | more, seed=9, steps=1, resume=resume)
    _run(second, "digits-mlp", tmp_path / "second")
    assert [r.step for r in second.reports] == [1]
    assert second.reports[0].value < first.reports[0].value
    with pytest.raises(InvalidInput, match="not of the task"):
        _run(LocalTrial(params={}, seed=9, steps=1, resume=resume), "adding-lstm", tmp_path / "x")
