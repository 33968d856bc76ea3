"""A study whose recipe fixes and searches options, from a YAML document through a real worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.worker_process import WorkerProcess
from tests.serving import ServerProcess
from tuner.spec import check, parse_yaml

DOCUMENT = """
name: options
objective: {metric: val_accuracy, mode: max}
sampler: {name: random, seed: 1}
pruner: {name: none}
budget: {trials: 6, steps: 3, parallel: 2}
run:
  task: digits-cnn
  device: cpu
  checkpoint_every: 0
  recipe:
    preset: default
    width: {min: 8, max: 16, step: 8}
    skip: true
    depth: 3
    schedule: {values: [cosine, exponential]}
    gamma: {min: 0.7, max: 0.95, when: {schedule: exponential}}
    warmup: 0.5
    label_smoothing: {values: [0.0, 0.1]}
    shift: 1.0
    rotate: {min: 0, max: 10}
    test_augment: 2
    average: 0.9
    adversary: 0.1
    flooding: 0.01
    max_norm: 3.0
    lr: {min: 0.02, max: 0.2, log: true}
    batch_size: 64
"""


def test_options_of_a_recipe_are_searched_and_fixed(server: ServerProcess, tmp_path: Path) -> None:
    document = parse_yaml(DOCUMENT)
    assert check(document)
    study = server.call("POST", "/studies", document)["id"]
    with WorkerProcess(tmp_path, server.url, server.token, slots=2, until_idle=0.5) as worker:
        assert worker.wait() == 0, worker.log
    view = server.call("GET", f"/studies/{study}")
    assert (view["state"], view["counts"]["complete"]) == ("finished", 6), worker.log
    assert view["spec"]["run"]["recipe"]["average"] == 0.9
    trials = [server.call("GET", f"/studies/{study}/trials/{n}") for n in range(6)]
    assert {t["params"]["width"] for t in trials} == {8, 16}
    for one in trials:
        searched = {"width", "schedule", "label_smoothing", "rotate", "lr"}
        searched |= {"gamma"} if one["params"]["schedule"] == "exponential" else set()
        assert set(one["params"]) == searched | {"init_scale", "clip_norm", "dropout"}
    assert view["best"]["value"] > 0.5  # five times better than guessing one of ten
    _a_further_study_builds_on_the_best(server, tmp_path, view["best"])


REUSE = """
name: reuse
objective: {metric: val_accuracy, mode: max}
space: {lr: {values: [0.02, 0.05]}}
sampler: {name: grid}
pruner: {name: none}
budget: {trials: 2, steps: 2, parallel: 1}
run:
  task: digits-cnn
  device: cpu
  recipe:
    start_from: options/best
    teacher: [options/best, options/0]
    freeze: 2
    depth: 3
    width: WIDTH
    norm: batch
    activation: elu
"""


def _a_further_study_builds_on_the_best(server: ServerProcess, folder: Path, best: Any) -> None:
    document = parse_yaml(REUSE.replace("WIDTH", str(best["params"]["width"])))
    refused = {**document, "run": {"task": "digits-cnn", "recipe": {"teacher": "options/99"}}}
    with pytest.raises(AssertionError, match="has no trial 99"):
        server.call("POST", "/studies", refused)
    study = server.call("POST", "/studies", document)["id"]
    with WorkerProcess(folder, server.url, server.token, until_idle=0.5) as worker:
        assert worker.wait() == 0, worker.log
    view = server.call("GET", f"/studies/{study}")
    named = f"options/{best['number']}"
    recipe = view["spec"]["run"]["recipe"]
    assert (recipe["start_from"], recipe["teacher"]) == (named, [named, "options/0"])
    assert view["counts"]["complete"] == 2, worker.log
    assert view["best"]["value"] > best["value"] - 0.1  # it goes on from there, not from scratch
