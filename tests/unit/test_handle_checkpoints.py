"""Checkpoints through a trial's handle: where the file goes, and what a new attempt starts with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.unit.test_worker_handle import FakeParent, handle_of, silent
from tuner.decision import Action, Decision
from tuner.errors import InvalidInput
from tuner.handle import Resume
from tuner.train.local import LocalTrial
from tuner.worker.messages import ResumeFrom, Saved


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1)


def test_a_fresh_start_is_0_and_changes_nothing() -> None:
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    start = LocalTrial(params={}).restore(model=model)
    assert (start, dict(start.state)) == (0, {})
    assert torch.equal(model.weight, before)
    assert list(range(start + 1, 3)) == [1, 2]


def test_a_child_hands_its_state_over_in_one_file(tmp_path: Path) -> None:
    parent = FakeParent(silent)
    optimizer = sgd()
    handle_of(parent, tmp_path).checkpoint(4, optimizer=optimizer, best=0.5)
    (saved,) = [message for message in parent.sent if isinstance(message, Saved)]
    assert saved.step == 4
    assert [str(path) for path in tmp_path.iterdir()] == [saved.path]

    resume = ResumeFrom(step=4, path=saved.path)
    start = handle_of(parent, tmp_path, resume=resume).restore(optimizer=sgd())
    assert (start, start.state["best"]) == (4, 0.5)


def test_what_can_not_be_saved_leaves_no_file(tmp_path: Path) -> None:
    parent = FakeParent(silent)
    with pytest.raises(InvalidInput, match="can't be saved"):
        handle_of(parent, tmp_path).checkpoint(1, thing=object())
    assert (parent.sent, list(tmp_path.iterdir())) == ([], [])


def test_it_is_a_file_or_a_state(tmp_path: Path) -> None:
    trial = LocalTrial(params={})
    with pytest.raises(InvalidInput, match="a file or a state, not both"):
        trial.checkpoint(1, tmp_path / "a", best=1)
    with pytest.raises(InvalidInput, match="no checkpoint file at"):
        trial.checkpoint(1, tmp_path / "absent")
    with pytest.raises(InvalidInput, match="a step is a whole number"):
        trial.checkpoint(-1, best=1)


def test_a_resumed_optimizer_stands_at_the_level_in_force() -> None:
    optimizer = sgd()
    Decision(lr_factor=0.5).apply(optimizer)
    first = LocalTrial(params={})
    first.checkpoint(3, optimizer=optimizer)  # before the decision on step 3 is applied
    again = sgd()
    LocalTrial(params={}, resume=first.checkpoints[-1], lr_factor=0.25).restore(optimizer=again)
    assert again.param_groups[0]["lr"] == 0.025


def test_a_file_of_another_format_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "own.pt").write_bytes(b"mine")
    trial = LocalTrial(params={}, resume=Resume(step=2, path=tmp_path / "own.pt"))
    with pytest.raises(InvalidInput, match=r"own\.pt"):
        trial.restore(optimizer=sgd())


def test_a_decision_to_stop_shows_as_such() -> None:
    trial = LocalTrial(params={}, decide=lambda _: Decision(action=Action.STOP))
    assert not trial.should_stop
    trial.report(1, 1.0)
    assert trial.should_stop


def test_another_trials_state_comes_without_its_rate_and_its_random_streams(tmp_path: Path) -> None:
    first = LocalTrial(params={})
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    optimizer.step()
    Decision(lr_factor=0.5).apply(optimizer)
    first.checkpoint(7, optimizer=optimizer)
    resume = Resume(step=0, path=first.checkpoints[-1].path, inherited=True)
    own = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.4, momentum=0.5)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert LocalTrial(params={}, resume=resume).restore(optimizer=own) == 0
    (group,) = own.param_groups
    assert (group["lr"], group["momentum"]) == (0.4, 0.5)
    assert torch.equal(own.state[group["params"][0]]["momentum_buffer"], torch.ones(2))
    assert torch.equal(torch.get_rng_state(), before)
