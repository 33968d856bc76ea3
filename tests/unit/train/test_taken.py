"""What a recipe takes from another trial is looked at before a worker has to fail."""

from __future__ import annotations

from typing import Any

import pytest

from tuner.spec import StudySpec, check
from tuner.train import TASKS, tasks
from tuner.train.recipe import Network
from tuner.train.taken import unfit


def _spec(task: str, recipe: dict[str, Any], **more: Any) -> StudySpec:
    run = {"task": task, "recipe": recipe} if task != "external" else "external"
    return check({"objective": {"metric": "val_loss"}, "run": run, **more})


@pytest.mark.parametrize(
    ("task", "recipe", "source", "has", "params", "why"),
    [
        # the same network, told or not
        ("digits-mlp", {}, "digits-mlp", {}, {}, None),
        (
            "digits-mlp",
            {"width": 64},
            "digits-mlp",
            {"preset": "default", "norm": "none"},
            {},
            None,
        ),
        ("digits-mlp", {"width": 32}, "digits-mlp", {}, {"width": 32}, None),
        ("digits-mlp", {}, "digits-mlp", {"width": 128}, {}, "its width is 128, this study's 64"),
        ("digits-mlp", {}, "digits-mlp", {}, {"width": 8}, "its width is 8, this study's 64"),
        (
            "digits-mlp",
            {"width": {"values": [64, 128]}},
            "digits-mlp",
            {},
            {},
            "this study's 128: give width: 64",
        ),
        ("adding-lstm", {"width": 64}, "adding-lstm", {}, {}, "its width is 32"),
        # depth, unless what differs begins anew
        ("digits-mlp", {"depth": 3}, "digits-mlp", {}, {}, "its depth is 1, this study's 3"),
        ("digits-mlp", {"depth": 3, "fresh_layers": 3}, "digits-mlp", {}, {}, None),
        ("digits-mlp", {"depth": 3, "fresh_layers": 2}, "digits-mlp", {}, {}, "its depth is 1"),
        ("digits-mlp", {"fresh_layers": 1}, "digits-mlp", {"depth": 3}, {}, None),
        ("adding-lstm", {"depth": 2, "fresh_layers": 1}, "adding-lstm", {}, {}, "its depth is 1"),
        # parts with weights of their own
        ("digits-mlp", {"norm": "batch"}, "digits-mlp", {}, {}, "its norm is none"),
        ("digits-mlp", {}, "digits-mlp", {"preset": "default"}, {}, "its norm is batch"),
        ("digits-mlp", {"norm": "layer"}, "digits-mlp", {"norm": "group"}, {}, None),
        ("digits-mlp", {"activation": "elu"}, "digits-mlp", {}, {}, None),
        ("digits-mlp", {"activation": "soft_threshold"}, "digits-mlp", {}, {}, "its activation is"),
        # other tasks
        ("digits-rare", {"fresh_layers": 1}, "digits-mlp", {}, {}, None),
        ("digits-rare", {}, "digits-mlp", {}, {}, "give fresh_layers: 1"),
        ("digits-cnn", {"fresh_layers": 1}, "digits-mlp", {}, {}, "another one than that of"),
        ("text-lstm", {"fresh_layers": 1}, "adding-lstm", {}, {}, "another one than that of"),
        ("digits-mlp", {}, "digits-vae", {}, {}, "no network of a built-in task"),
        ("digits-mlp", {}, "external", {}, {}, "no network of a built-in task"),
    ],
)
def test_first_weights(
    task: str, recipe: Any, source: str, has: Any, params: Any, why: str | None
) -> None:
    found = unfit("start_from", _spec(task, recipe), _spec(source, has), params)
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize(
    ("task", "source", "why"),
    [
        ("digits-mlp", "digits-mlp", None),
        ("digits-mlp", "digits-cnn", "it learns digits-cnn, this study digits-mlp"),
        ("digits-mlp", "external", "no network of a built-in task"),
    ],
)
def test_teachers(task: str, source: str, why: str | None) -> None:
    # Their shape is their own.
    found = unfit("teacher", _spec(task, {"width": 8}), _spec(source, {}), {})
    assert (found is None) if why is None else (found is not None and why in found)


@pytest.mark.parametrize("task", tasks.names())
def test_the_catalogue_tells_the_shape_that_is_built(task: str) -> None:
    info = TASKS[task]
    told = tasks.get(task).model(Network(width=info.width, depth=info.depth))
    own = tasks.get(task).model()
    shapes = [{n: t.shape for n, t in model.state_dict().items()} for model in (told, own)]
    assert shapes[0] == shapes[1]
    assert len(own.layers()) == 1 + (1 if info.network == "recurrent" else info.depth)
