"""The reference of the tasks names all of them, their metrics, and a study that is valid."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tuner.defaults import normalise
from tuner.spec import RunTable, check, parse_yaml
from tuner.train import TASKS

PAGE = (Path(__file__).parents[3] / "docs/tasks.md").read_text(encoding="utf-8")
FIRST = ("digits-mlp", "digits-cnn", "adding-lstm")  # described with the trainer


@pytest.mark.parametrize("task", sorted(TASKS.keys() - set(FIRST)))
def test_a_task_is_described_with_its_objectives_and_defaults(task: str) -> None:
    (row,) = re.findall(rf"^\| `{task}` \|(.*)\|$", PAGE, re.M)
    _, tuned_on, steps, defaults = row.split(" | ")
    info = TASKS[task]
    assert set(re.findall(r"`(\w+)`", tuned_on)) == set(info.objectives)
    assert int(steps) == info.steps
    for name, value in re.findall(r"`(\w+)` ([\d.]+)", defaults):
        assert float(value) == float(info.defaults.get(name, 8))


def test_the_study_of_a_table_is_valid() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    spec, warnings = normalise(check(parse_yaml(example)))
    assert isinstance(spec.run, RunTable)
    assert warnings == []
