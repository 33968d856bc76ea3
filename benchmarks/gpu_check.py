"""Check the built-in trainer on a CUDA device and print what was measured.

    python -m benchmarks.gpu_check            # or: python benchmarks/gpu_check.py

For each task: whether CUDA gives the CPU's curve, whether bf16 and fp16 stay near it, whether a
resumed training equals the undisturbed one, time per epoch, GPU load and peak memory. Ends with
status 1 if a check fails, 2 if there is no CUDA device.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from tuner.train import TASKS, run, tasks, warm
from tuner.train.local import LocalTrial

STEPS = 4
CURVE_TOLERANCE = 2e-3
AUTOCAST_TOLERANCE = 0.1
PARAMS: Mapping[str, Any] = {"dropout": 0.0, "lr": 0.02}
COMPARED = ("train_loss", "val_loss", "grad_norm", "update_ratio")


@dataclass(frozen=True, kw_only=True)
class Check:
    """One row of the table: what was measured and whether it is as promised."""

    task: str
    what: str
    measured: str
    passed: bool


def trained(task: str, params: Mapping[str, Any] = PARAMS, **options: Any) -> LocalTrial:
    """Train `STEPS` epochs."""
    trial = LocalTrial(params=params, steps=STEPS)
    run(trial, task, options)
    return trial


def worst_difference(one: LocalTrial, other: LocalTrial, names: tuple[str, ...]) -> float:
    """Return the largest relative difference between two trainings' metrics."""
    return max(
        abs(a.metrics[name] - b.metrics[name]) / abs(b.metrics[name])
        for a, b in zip(one.reports, other.reports, strict=True)
        for name in names
    )


def check_curves(task: str) -> list[Check]:
    """Compare CUDA with the CPU, and each precision with float32."""
    exact = trained(task, device="cuda")
    off = worst_difference(exact, trained(task, device="cpu"), COMPARED)
    found = [
        Check(
            task=task,
            what="CUDA against CPU",
            measured=f"off by {off:.1e}",
            passed=off < CURVE_TOLERANCE,
        )
    ]
    for precision in ("bf16", "fp16"):
        rough = trained(task, device="cuda", precision=precision)
        off = worst_difference(rough, exact, ("val_loss",))
        measured = f"val_loss off by {off:.1e}"
        passed = off < AUTOCAST_TOLERANCE
        found.append(Check(task=task, what=precision, measured=measured, passed=passed))
    return found


def check_resume(task: str) -> Check:
    """Resume after the first epoch and compare to the bit."""
    options = {"device": "cuda", "deterministic": True, "checkpoint_every": 0}
    params = {**PARAMS, "dropout": 0.2}
    with tempfile.TemporaryDirectory() as folder:
        whole = LocalTrial(params=params, steps=STEPS)
        run(whole, task, options, folder=Path(folder))
        again = LocalTrial(params=params, steps=STEPS, resume=whole.checkpoints[0])
        run(again, task, options, folder=Path(folder))
    same = [r.value for r in again.reports] == [r.value for r in whole.reports[1:]]
    measured = "equal to the bit" if same else "differs"
    return Check(task=task, what="resumed, deterministic", measured=measured, passed=same)


def check_resident(task: str) -> Check:
    """Look where the data lies."""
    data = tasks.get(task).data().resident(torch.device("cuda", 0))
    where = {split.x.device.type for split in (data.train, data.val, data.test)}
    measured, passed = ", ".join(where), where == {"cuda"}
    return Check(task=task, what="data resident", measured=measured, passed=passed)


def check_load(task: str) -> Check:
    """Read the GPU's metrics and the time of an epoch with the task's own parameters."""
    reports = trained(task, {}, device="cuda").reports
    seconds = statistics.median(report.metrics["epoch_seconds"] for report in reports)
    last = reports[-1].metrics
    util, peak = last.get("gpu_util"), last.get("gpu_mem_peak_mb")
    measured = f"{seconds * 1e3:.1f} ms an epoch, load {util} %, peak {peak} MiB"
    return Check(
        task=task, what="speed and load", measured=measured, passed=None not in (util, peak)
    )


def main() -> int:
    """Run all checks."""
    console = Console()
    if not torch.cuda.is_available():
        console.print("there is no CUDA device")
        return 2
    found: list[Check] = []
    for task in TASKS:
        warm(task)
        found += [*check_curves(task), check_resume(task), check_resident(task), check_load(task)]
    table = Table("task", "check", "measured", "", title=torch.cuda.get_device_name(0))
    for check in found:
        table.add_row(check.task, check.what, check.measured, "ok" if check.passed else "FAILED")
    console.print(table)
    return 0 if all(check.passed for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
