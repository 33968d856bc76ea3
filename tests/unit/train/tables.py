"""Tables for tests: files of rows, written where a test says."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tuner.train import run
from tuner.train.local import LocalTrial

ROWS = 400
Columns = dict[str, list[Any]]


def people(seed: int = 0) -> Columns:
    """Return rows of every sort; `buys` follows from `income` and `town` alone, `paid` likewise."""
    draw = np.random.RandomState(seed)
    income = np.exp(draw.normal(8, 2, ROWS))
    town = draw.choice(["Bonn", "Cork", "Lima"], ROWS)
    height = draw.normal(170, 10, ROWS)
    seen = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in draw.randint(0, 336, ROWS)]
    buys = np.where((np.log(income) > 8) ^ (town == "Lima"), "yes", "no")
    paid = 100 * np.log(income) + 50 * (town == "Cork")
    gaps = draw.random_sample(ROWS) < 0.1
    return {
        "income": [f"{value:.2f}" for value in income],
        "town": list(town),
        "height": ["NA" if gap else f"{h:.1f}" for h, gap in zip(height, gaps, strict=True)],
        "seen": seen,
        "buys": list(buys),
        "paid": [f"{value:.3f}" for value in paid],
    }


def write(path: Path, columns: Mapping[str, Sequence[Any]], delimiter: str = ",") -> Path:
    """Write a CSV and return its path."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, delimiter=delimiter)
        lines.writerow(columns)
        lines.writerows(zip(*columns.values(), strict=True))
    return path


def learned(path: Path, target: str, metric: str = "val_loss", **more: Any) -> LocalTrial:
    """Run a trial that learns a table; `about` is what its study says further of the file."""
    about = {"data": str(path), "target": target, **more.pop("about", {})}
    recipe, sources = more.pop("recipe", None), more.pop("sources", None)
    options = {"device": "cpu", "checkpoint_every": more.pop("every", 0)}
    folder = more.pop("folder", path.parent)
    folder.mkdir(exist_ok=True)
    trial = LocalTrial(params=more.pop("params", {}), **({"steps": 8, "seed": 3} | more))
    run(
        trial, "table", options, metric=metric, table=about, recipe=recipe, sources=sources,
        folder=folder,
    )  # fmt: skip
    return trial
