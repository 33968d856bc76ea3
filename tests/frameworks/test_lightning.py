"""The callback for Lightning, with Lightning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

pytest.importorskip("lightning", reason="the extra `lightning` is not installed")
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

from tests.frameworks.trials import (
    STEPS,
    curve,
    halving,
    leaving_at,
    resumed,
    stopping_at,
    trial,
)
from tuner.errors import InvalidInput, TrialInterrupted
from tuner.lightning import TunerCallback
from tuner.train.local import LocalReport, LocalTrial

# Lightning warns of few workers, few batches and of deprecated parts of torch that it uses.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(level)


class Watched(torch.optim.SGD):
    seen: list[float]

    def step(self, closure: Any = None) -> Any:
        self.seen.append(self.param_groups[0]["lr"])
        return super().step(closure)


class Net(LightningModule):
    def __init__(self, scheduler: str = "step") -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))
        self.scheduler = scheduler
        self.seen: list[float] = []

    def loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return nn.functional.mse_loss(self.layers(batch[0]), batch[1])

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        return self.loss(batch)

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        self.log("val_loss", self.loss(batch))
        self.log("other", 2.0)

    def configure_optimizers(self) -> Any:
        optimizer = Watched(self.parameters(), lr=0.1, momentum=0.9)
        optimizer.seen = self.seen
        if self.scheduler == "plateau":
            scheduler: Any = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
        else:
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"},
        }


def fit(
    trial: LocalTrial, folder: Path, *, monitor: str = "val_loss", seed: int = 5, **options: Any
) -> Net:
    seed_everything(seed)
    net = Net(options.pop("scheduler", "step"))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(32, 4, generator=generator)
    rows = TensorDataset(x, x.sum(1, keepdim=True))
    callback = TunerCallback(trial, monitor)
    trainer = Trainer(
        max_epochs=trial.steps,
        callbacks=[callback, *options.pop("callbacks", [])],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=options.pop("enable_checkpointing", False),
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **options,
    )
    loader = DataLoader(rows, batch_size=8, shuffle=True)
    trainer.fit(net, loader, DataLoader(rows, batch_size=16), ckpt_path=callback.ckpt_path)
    return net


def weights(net: Net) -> list[Any]:
    return [tensor.tolist() for tensor in net.state_dict().values()]


def test_each_validation_is_a_step_and_halves_beside_the_scheduler(tmp_path: Path) -> None:
    one = trial()
    net = fit(one, tmp_path)
    assert [report.step for report in one.reports] == list(range(1, STEPS + 1))
    assert one.reports[0].metrics == {"other": 2.0}
    # 4 batches an epoch; the level of an epoch is decided after the one before
    expected = [
        0.1 * 0.7 ** (epoch // 2) * 0.5 ** (epoch // 2) for epoch in range(STEPS) for _ in range(4)
    ]
    assert net.seen == pytest.approx(expected, rel=1e-12)


def test_a_decision_to_stop_ends_the_training(tmp_path: Path) -> None:
    one = trial(decide=stopping_at(3))
    fit(one, tmp_path)
    assert [report.step for report in one.reports] == [1, 2, 3]


@pytest.mark.parametrize("scheduler", ["step", "plateau"])
@pytest.mark.parametrize("poll", [0, 3, 4, 9, 14, 4 * STEPS - 1])
def test_it_leaves_and_goes_on_bit_equal(poll: int, scheduler: str, tmp_path: Path) -> None:
    whole = trial()
    last = weights(fit(whole, tmp_path, scheduler=scheduler))
    left = trial(leave=leaving_at(poll))
    with pytest.raises(TrialInterrupted):
        fit(left, tmp_path, scheduler=scheduler)
    assert [one.step for one in left.checkpoints] == list(range(1, poll // 4 + 1))
    again = resumed(left)
    seed = 5 if again.resume is None else 99  # all that is random comes from the checkpoint
    assert weights(fit(again, tmp_path, scheduler=scheduler, seed=seed)) == last
    assert curve(left, again) == curve(whole)


def test_the_last_checkpoint_holds_the_end(tmp_path: Path) -> None:
    one = trial()
    net = fit(one, tmp_path)
    assert one.checkpoints[-1].step == STEPS
    again = trial(resume=one.checkpoints[-1])
    assert weights(fit(again, tmp_path)) == weights(net)
    assert again.reports == []


def test_lightnings_own_checkpoints_stay_lightnings(tmp_path: Path) -> None:
    own = ModelCheckpoint(tmp_path / "own")
    fit(trial(), tmp_path, enable_checkpointing=True, callbacks=[own])
    assert "state_dict" in torch.load(own.best_model_path, weights_only=True)


def test_several_validations_an_epoch(tmp_path: Path) -> None:
    one = trial(steps=3)
    fit(one, tmp_path, val_check_interval=0.5)
    assert [report.step for report in one.reports] == [1, 2, 3, 4, 5, 6]
    assert [checkpoint.step for checkpoint in one.checkpoints] == [2, 4, 6]


def test_a_metric_that_is_never_logged_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'val_los'; the nearest name is 'val_loss'"):
        fit(trial(), tmp_path, monitor="val_los")


def test_the_decisions_are_those_of_the_helper() -> None:
    reports = [LocalReport(step=step, value=1.0, metrics={}) for step in (1, 2, 4)]
    assert [halving(reports[: n + 1]).lr_factor for n in range(3)] == [1.0, 0.5, 0.25]
