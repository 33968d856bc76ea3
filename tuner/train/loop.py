"""Train one trial: the loop over epochs, with its reports, decisions and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from tuner.decision import Outcome
from tuner.handle import TrialHandle
from tuner.train import device as devices
from tuner.train.best import Best
from tuner.train.catalog import TaskInfo
from tuner.train.engine import Engine, Setting
from tuner.train.options import Options
from tuner.train.recipe import Recipe
from tuner.train.saver import Saver
from tuner.train.several import begin
from tuner.train.tasks import Task

_LOSSES = ("train_loss", "val_loss", "policy_loss")
_WORTHLESS = (Outcome.PRUNED, Outcome.DIVERGED)  # ends after which nobody wants the network


def train(
    trial: TrialHandle,
    info: TaskInfo,
    recipe: Recipe,
    options: Options,
    *,
    metric: str,
    folder: Path | None,
    sources: Mapping[str, tuple[Path, ...]],
    task: Task | None = None,
) -> None:
    """Train until the steps are done, the decision is to stop, or the trial is asked to leave.

    Raises:
        InvalidInput: the device is not there, or a checkpoint is not of this training.
    """
    device = devices.choose(options.device)
    setting = Setting(
        info=info, recipe=recipe, seed=trial.seed, device=device, precision=options.precision,
        steps=info.steps if trial.steps is None else trial.steps, sources=sources,
        task=task, resumed=trial.resume is not None, measure_layers=options.measure_layers,
    )  # fmt: skip
    with devices.arithmetic(device, deterministic=options.deterministic):
        engine = begin(setting)
        if trial.resume is not None:
            engine.restore(trial.resume)
        best = None
        if task is not None:
            best = Best(engine, metric, task.info.objectives[metric], trial.resume)
        saver = Saver(engine, trial, options.checkpoint_every, folder, best)
        _epochs(trial, engine, saver, setting, metric)


def _epochs(
    trial: TrialHandle, engine: Engine, saver: Saver, setting: Setting, metric: str
) -> None:
    meter = devices.GpuMeter(setting.device)
    level = trial.lr_factor
    while engine.epoch < setting.steps:
        if not engine.run_epoch(level, lambda: trial.should_stop):
            saver.hand_over()
            return
        metrics = engine.measure() | meter.read()
        value = objective(metrics, metric)
        decision = trial.report(engine.epoch, value, metrics)
        saver.saw(value, metrics)
        level = decision.lr_factor
        if decision.stop:
            if decision.outcome in _WORTHLESS:
                return
            break
        if trial.should_stop:
            saver.hand_over()
            if engine.epoch < setting.steps:
                return
        else:
            saver.hand_over_if_due()
    saver.finish()


def objective(metrics: Mapping[str, float], name: str) -> float:
    """Return the reported value: the metric, or NaN if a loss is not finite.

    An accuracy is a number also where all weights are NaN; such a training has diverged.
    """
    losses = [metrics[loss] for loss in _LOSSES if loss in metrics]
    return metrics[name] if all(map(math.isfinite, losses)) else math.nan
