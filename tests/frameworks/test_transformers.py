"""The callback for Hugging Face's Trainer, with the Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("transformers", reason="the extra `transformers` is not installed")
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.frameworks.trials import STEPS, curve, leaving_at, resumed, stopping_at, trial
from tuner.errors import InvalidInput, TrialInterrupted
from tuner.train.local import LocalTrial
from tuner.transformers import TunerCallback, _unpack

# transformers and accelerate warn of parts of torch and of hubs that are not used here.
pytestmark = pytest.mark.filterwarnings("ignore")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        predicted = self.layers(x)
        return {"loss": nn.functional.mse_loss(predicted, labels), "logits": predicted}


class Rates(TrainerCallback):
    """Notes the rates at which the optimizer's steps run."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        inner = kwargs["optimizer"].optimizer
        inner.register_step_pre_hook(lambda o, *_: self.seen.append(o.param_groups[0]["lr"]))


def rows() -> list[dict[str, torch.Tensor]]:
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    return [{"x": one, "labels": one.sum().reshape(1)} for one in x]


def train(
    trial: LocalTrial,
    folder: Path,
    *,
    metric: str = "eval_loss",
    watcher: TrainerCallback | None = None,
    **options: Any,
) -> Net:
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=trial.steps or 1,
        per_device_train_batch_size=8,
        learning_rate=0.1,
        lr_scheduler_type="cosine",
        **{"eval_strategy": "epoch", "save_strategy": "no", "seed": 5, **options},
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    torch.manual_seed(5)
    net = Net()
    data: Any = rows()
    callback = TunerCallback(trial, metric)
    callbacks = [callback] + ([watcher] if watcher is not None else [])
    trainer = Trainer(net, arguments, train_dataset=data, eval_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)
    return net


def weights(net: Net) -> list[Any]:
    return [tensor.tolist() for tensor in net.state_dict().values()]


def test_each_evaluation_is_a_step_and_halves_beside_the_scheduler(tmp_path: Path) -> None:
    plain, watched = Rates(), Rates()
    flat = trial(decide=lambda reports: trial_decision())
    train(flat, tmp_path, watcher=plain)
    one = trial()
    train(one, tmp_path, watcher=watched)
    assert [report.step for report in one.reports] == list(range(1, STEPS + 1))
    assert "eval_runtime" in one.reports[0].metrics
    levels = [0.5 ** (epoch // 2) for epoch in range(STEPS) for _ in range(4)]
    expected = [lr * level for lr, level in zip(plain.seen, levels, strict=True)]
    assert watched.seen == pytest.approx(expected, rel=1e-12)


def trial_decision() -> Any:
    from tuner.decision import Decision

    return Decision()


def test_a_decision_to_stop_ends_the_training(tmp_path: Path) -> None:
    one = trial(decide=stopping_at(3))
    train(one, tmp_path)
    assert [report.step for report in one.reports] == [1, 2, 3]


@pytest.mark.parametrize("poll", [0, 5, 14, 4 * STEPS - 1])
def test_it_leaves_and_goes_on_bit_equal(poll: int, tmp_path: Path) -> None:
    whole = trial()
    last = weights(train(whole, tmp_path / "whole"))
    left = trial(leave=leaving_at(poll))
    with pytest.raises(TrialInterrupted):
        train(left, tmp_path / "left")
    assert [one.step for one in left.checkpoints] == list(range(1, poll // 4 + 1))
    again = resumed(left)
    assert weights(train(again, tmp_path / "again")) == last
    assert curve(left, again) == curve(whole)


def test_no_folder_is_left_that_the_trainer_was_not_told_to_keep(tmp_path: Path) -> None:
    train(trial(), tmp_path / "none")
    assert not list((tmp_path / "none").glob("checkpoint-*"))
    train(trial(steps=2), tmp_path / "kept", save_strategy="epoch")
    assert len(list((tmp_path / "kept").glob("checkpoint-*"))) == 2


def test_several_evaluations_an_epoch_resume_in_its_middle(tmp_path: Path) -> None:
    options: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 3}
    whole = trial()
    last = weights(train(whole, tmp_path / "whole", **options))
    left = trial(leave=leaving_at(7))
    with pytest.raises(TrialInterrupted):
        train(left, tmp_path / "left", **options)
    again = resumed(left)
    assert weights(train(again, tmp_path / "again", **options)) == last
    assert curve(left, again) == curve(whole)


def test_a_metric_that_is_never_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'eval_los'; the nearest name is 'eval_loss'"):
        train(trial(), tmp_path, metric="eval_los")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", ""])
def test_a_checkpoint_writes_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InvalidInput, match="outside its folder"):
        _unpack({"values": {}, "files": {name: None}}, tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
