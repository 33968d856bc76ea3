"""Other tools' documents become ours: valid, and nothing is dropped in silence."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tuner.cli.app import app
from tuner.convert import Converted, convert, text_of
from tuner.errors import InvalidInput, Malformed
from tuner.spec import check, parse_json, parse_yaml

FILES = Path(__file__).parents[1] / "fixtures" / "convert"
GOOD = sorted([*FILES.glob("wandb/*"), *FILES.glob("katib/*")])
BAD = sorted(FILES.glob("bad/*"))


def parsed(file: Path) -> Any:
    text = file.read_text(encoding="utf-8")
    return parse_json(text) if file.suffix == ".json" else parse_yaml(text)


def converted(name: str) -> Converted:
    return convert(parsed(FILES / name))


def why(remarks: tuple[Any, ...]) -> dict[str, str]:
    return {one.where: one.why for one in remarks}


def leaves(node: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each value that is no mapping and no list, as remarks write it."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from leaves(inner, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_comes_out_is_valid_and_reads_back_equal(file: Path) -> None:
    found = convert(parsed(file))
    text = text_of(found)
    assert parse_yaml(text) == found.document
    check(parse_yaml(text))
    for remark in (*found.left, *found.changed):
        assert remark.where.split("[")[0] in text.replace("\n#     ", " ")


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_key_of_nobody_is_named_wherever_it_stands(file: Path) -> None:
    """Add a key to each mapping in turn: each must be named among what is left, by its place."""
    document = parsed(file)
    checked = 0
    for mapping, path in list(mappings(document)):
        if path and any(part in path for part in _FREE):
            continue
        mapping["zzUnknown"] = 1
        try:
            found = convert(document)
        finally:
            del mapping["zzUnknown"]
        where = f"{path}.zzUnknown".removeprefix(".")
        named = [one.where for one in (*found.left, *found.changed)]
        assert any(where == one or where.startswith((f"{one}.", f"{one}[")) for one in named), where
        checked += 1
    assert checked > 1


_FREE = ("values[", "value.", ".value", "parameters.optimizer.parameters")
"""Places where any key is a value, or a parameter."""


def mappings(node: Any, path: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(node, dict):
        if path not in ("parameters", "parameters.optimizer.parameters.schedule.parameters"):
            yield node, path
        for key, inner in list(node.items()):
            yield from mappings(inner, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, list):
        for i, inner in enumerate(node):
            yield from mappings(inner, f"{path}[{i}]")


def test_a_sweep_with_hyperband() -> None:
    found = converted("wandb/bayes_hyperband.yaml")
    assert found.document == {
        "api_version": "v1",
        "name": "fashion sweep",
        "objective": {"metric": "val/loss", "mode": "min"},
        "space": {
            "learning_rate": {"min": 1e-5, "max": 0.1, "log": True},
            "batch_size": {"values": [16, 32, 64, 128]},
            "epochs": {"value": 27},
            "dropout": {"min": 0.0, "max": 0.5},
            "optimizer": {"values": ["adam", "sgd"]},
            "layers": {"min": 1, "max": 4},
        },
        "sampler": {"name": "gp"},
        "pruner": {"name": "asha", "eta": 3, "min": 3, "max": 243},
        "policies": [],
        "budget": {"trials": 60},
        "run": {
            "command": [
                "python",
                "train.py",
                "--learning_rate={learning_rate}",
                "--batch_size={batch_size}",
                "--epochs={epochs}",
                "--dropout={dropout}",
                "--optimizer={optimizer}",
                "--layers={layers}",
            ]
        },
        "queue": {"project": "fashion"},
    }
    assert set(why(found.left)) == {
        "entity",
        "metric.target",
        "early_terminate.strict",
        "parameters.optimizer.probabilities",
    }
    assert set(why(found.changed)) == {"early_terminate.min_iter"}
    assert any("Baseline sweep" in hint for hint in found.hints)


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "range_"),
    [
        ("constant", {"value": 3}),
        ("weighted", {"values": [1, 2]}),
        ("int_uniform", {"min": 2, "max": 9}),
        ("uniform", {"min": -1.0, "max": 1.0}),
        ("q_uniform", {"min": 0.1, "max": 0.5, "step": 0.1}),  # the upper bound moves onto a step
        ("q_default", {"min": 1, "max": 10, "step": 1}),  # q is 1 by default
        ("log_uniform", {"min": close(1e-4), "max": close(0.1), "log": True}),  # exponents of e
        ("log_uniform_values", {"min": 1e-4, "max": 0.1, "log": True}),
        ("q_log_uniform", {"min": 1, "max": 148, "log": True}),  # whole numbers up to e**5
        ("q_log_uniform_values", {"min": 16.0, "max": 512.0, "log": True}),  # steps are left out
        ("inv_log_uniform", {"min": close(0.006737947), "max": close(0.36787944), "log": True}),
        ("inv_log_uniform_values", {"min": 0.01, "max": 10.0, "log": True}),
        ("normal", {"min": 4.0, "max": 16.0}),  # three sigma each way
        ("normal_default", {"min": -3.0, "max": 3.0}),
        ("q_normal", {"min": 70, "max": 130, "step": 5}),
        ("log_normal", {"min": close(0.00033546263), "max": close(0.13533528), "log": True}),
        ("q_log_normal", {"min": 1, "max": 403, "log": True}),
        ("beta", {"min": 0.0, "max": 1.0}),
        ("q_beta", {"min": 0.0, "max": 1.0, "step": 0.1}),
        ("implied_int", {"min": 1, "max": 8}),
        ("implied_float", {"min": 0.0, "max": 0.5}),
    ],
)
def test_the_distributions_of_a_sweep(name: str, range_: dict[str, Any]) -> None:
    assert converted("wandb/distributions.yaml").document["space"][name] == range_


def test_groups_odd_names_and_values_that_are_none() -> None:
    found = converted("wandb/nested_grid.yaml")
    assert found.document["space"] == {
        "optimizer_name": {"values": ["adam", "sgd"]},
        "optimizer_schedule_kind": {"values": ["cosine", "none"]},
        "learning_rate": {"values": [0.1, 0.01]},
        "learning_rate_2": {"value": 1},
        "flag": {"values": [True, False]},
        "odd": {"values": [1]},
        "steps": {"min": 10, "max": 30, "step": 10},
    }
    assert found.document["name"] == "study-42"
    assert found.document["objective"]["metric"] == "val_loss_"
    assert found.document["budget"]["trials"] == 2 * 2 * 2 * 1 * 2 * 1 * 3  # the whole grid
    assert found.document["pruner"] == {"name": "asha", "eta": 3, "min": 3, "max": 27}
    left = why(found.left)
    assert {f"parameters.odd.values[{i}]" for i in (0, 1, 2, 4)} <= left.keys()
    assert "parameters.gone.value" in left
    assert found.document["run"]["command"] == [
        "python",
        "train.py",
        "--data=${{envvar:DATA_DIR}}",
        "--template={{x}}",
        "--optimizer.name={optimizer_name}",
        "--optimizer.schedule.kind={optimizer_schedule_kind}",
        "--learning-rate={learning_rate}",
        "--learning.rate={learning_rate_2}",
        "--flag={flag}",
        "--odd={odd}",
        "--steps={steps}",
    ]


def test_the_macros_of_a_command() -> None:
    found = converted("wandb/commands.yaml")
    assert found.document["run"]["command"] == [
        "/usr/bin/python3.11",
        "main.py",
        "model.lr={model_lr}",
        "use_amp={use_amp}",
        "--model.lr={model_lr}",
        "--use_amp={use_amp}",
        "${{unknown}}",
    ]
    assert {f"command[{i}]" for i in (3, 4, 5, 6)} <= why(found.changed).keys()
    assert {"controller", "job", "preemptible", "something_new"} <= why(found.left).keys()


def test_a_sweep_without_a_program_is_somebodys_own_loop() -> None:
    found = converted("wandb/minimal.yaml")
    assert found.document["run"] == "external"
    assert found.document["budget"] == {"trials": 50}
    assert "run_cap" in why(found.changed)


def test_an_experiment() -> None:
    found = converted("katib/random.yaml")
    assert found.document["space"] == {
        "lr": {"min": 0.01, "max": 0.05},
        "momentum": {"min": 0.5, "max": 0.9},
    }
    assert found.document["budget"] == {"trials": 12, "parallel": 3, "max_failures": 3}
    assert found.document["run"]["command"] == [
        "python3",
        "/opt/pytorch-mnist/mnist.py",
        "--epochs=1",
        "--batch-size=16",
        "--lr={lr}",
        "--momentum={momentum}",
    ]
    left = why(found.left)
    container = "spec.trialTemplate.trialSpec.spec.template.spec.containers[0]"
    assert {f"{container}.image", f"{container}.resources.limits.cpu"} <= left.keys()
    assert found.document["run"]["memory"] == "1GiB"
    assert "spec.objective.goal" in left
    assert "spec.trialTemplate.trialSpec.spec.template.spec.restartPolicy" in left


def test_everything_an_experiment_may_say() -> None:
    found = converted("katib/everything.yaml")
    document = found.document
    assert document["objective"] == {
        "metric": "Validation-accuracy",
        "mode": "max",
        "value": "last",
    }
    assert document["space"] == {
        "lr": {"min": 0.0001, "max": 0.1, "log": True},
        "weight_decay": {"min": 0.0, "max": 0.09, "step": 0.03},
        "layers": {"min": 1, "max": 7, "step": 2},
        "width": {"min": 16, "max": 256, "log": True},
        "batch": {"values": [16, 32, 64]},
        "optimizer": {"values": ["sgd", "adam", "ftrl"]},
        "noise": {"min": -1.0, "max": 1.0},
    }
    assert document["sampler"] == {"name": "tpe", "seed": 17, "startup": 8}
    assert document["pruner"] == {"name": "median", "startup": 4, "warmup": 5}
    assert document["budget"] == {"trials": 40, "parallel": 4, "max_failures": 1}
    assert document["retry"] == {"max": 2}
    assert document["run"]["command"] == [
        "python",
        "train.py",
        "--lr",
        "{lr}",
        "--wd={weight_decay}",
        "--out=/out/{trial.study}-{trial.number}/",
        '--json={{"a": 1}}',
    ]
    left = why(found.left)
    replicas = "spec.trialTemplate.trialSpec.spec.pytorchReplicaSpecs"
    assert f"{replicas}.Master.template.spec.containers[1]" in left
    assert f"{replicas}.Worker.template.spec.containers[0]" in left
    assert f"{replicas}.Master.template.spec.volumes" in left
    assert any("gamma" in text for text in left.values())
    assert any("smoothing" in text for text in left.values())
    assert {"status", "metadata.namespace", "metadata.annotations"} <= left.keys()


def test_hyperbands_resource_becomes_the_budget() -> None:
    found = converted("katib/hyperband.yaml")
    assert found.document["pruner"] == {"name": "hyperband", "eta": 3, "max": 9}
    assert found.document["budget"]["steps"] == 9
    assert found.document["space"]["num_epochs"] == {"value": 9}
    assert "report" not in found.document["run"]


@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_the_gpus_of_an_experiments_container_are_the_trials(kind: str) -> None:
    document = parsed(FILES / "katib/random.yaml")
    (container,) = document["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"][
        "containers"
    ]
    container["resources"] = {kind: {"nvidia.com/gpu": "2"}}
    found = convert(document)
    assert found.document["run"]["gpus"] == 2
    assert not any("resources" in where for where in why(found.left))


def test_an_image_without_a_command_is_external() -> None:
    found = converted("katib/no_command.yaml")
    assert found.document["run"] == "external"
    assert "spec.trialTemplate.configMap" in why(found.left)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.name)
def test_what_is_neither_is_refused_with_a_sentence(file: Path) -> None:
    with pytest.raises((InvalidInput, Malformed)) as caught:
        convert(parsed(file))
    assert 10 < len(caught.value.detail) < 400


@pytest.mark.parametrize("document", [None, 3, "text", [], {}, {"parameters": 3}, {"method": []}])
def test_what_is_no_document_is_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        convert(document)


def test_ten_thousand_parameters_are_refused_in_good_time() -> None:
    parameters = {f"p{i}": {"min": 0, "max": 1, "x": i} for i in range(10_000)}
    with pytest.raises(InvalidInput, match="space"):
        convert({"method": "random", "parameters": parameters})


def test_the_command_writes_the_document_and_tells_the_rest(tmp_path: Path) -> None:
    source, target = FILES / "wandb" / "bayes_hyperband.yaml", tmp_path / "study.yaml"
    done = CliRunner().invoke(app, ["convert", str(source), "-o", str(target)])
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert "not carried over: entity:" in done.stderr
    check(parse_yaml(target.read_text()))
    assert "#   - entity: " in target.read_text()


def test_the_command_reads_standard_input_and_writes_json() -> None:
    text = (FILES / "wandb" / "minimal.yaml").read_text()
    done = CliRunner().invoke(app, ["-q", "convert", "-", "--json"], input=text)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    check(found["document"])
    assert found["changed"][0]["where"] == "run_cap"


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"a: 1\n" * 300_000, b"\0"])
def test_the_command_ends_with_a_line_at_what_it_can_not_read(raw: bytes, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_bytes(raw)
    done = CliRunner().invoke(app, ["convert", str(file)])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_the_guides_example_is_what_comes_out() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "coming-from.md"
    source, made = re.findall(r"^```yaml\n(.*?)^```", guide.read_text(), re.M | re.S)
    assert convert(parse_yaml(source)).document == parse_yaml(made)


ODD: tuple[Any, ...] = (None, "x", -1, [], {}, True, 1e308, math.nan, 10**30, [None], "${x}")


@pytest.mark.parametrize("name", ["wandb/nested_grid.yaml", "katib/hyperband.yaml"])
def test_any_value_in_any_place_is_taken_or_refused(name: str) -> None:
    """Nothing but this project's own errors comes out, whatever stands where."""
    source = parsed(FILES / name)
    for i, path in enumerate(places(source)):
        document = copy.deepcopy(source)
        node = document
        for part in path[:-1]:
            node = node[part]
        for odd in (ODD[i % len(ODD)], ODD[(7 * i + 3) % len(ODD)]):
            node[path[-1]] = odd
            with contextlib.suppress(InvalidInput):
                convert(document)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    parts = node if isinstance(node, dict) else range(len(node) if isinstance(node, list) else 0)
    for part in parts:
        yield from places(node[part], (*path, part))


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ({"distribution": "int_uniform", "min": math.nan, "max": 3}, "too large a number, or none"),
        ({"distribution": "q_normal", "mu": 1, "q": math.inf}, "too large a number, or none"),
        ({"distribution": "normal", "sigma": 0}, "sigma must be positive"),
        ({"distribution": "q_uniform", "min": 1, "max": 2, "q": 0}, "step must be positive"),
        ({"distribution": "q_uniform", "min": 1, "max": 2, "q": 5}, "no step of 5"),
        ({"min": 1}, "min and max go together"),
        ({"mean": 1}, "gives neither value, values, nor min and max"),
        ({"values": [1, 2], "distribution": "normal"}, "values do not go with"),
        ({"min": True, "max": 2}, "should be a number"),
    ],
)
def test_a_range_without_a_meaning_is_refused_by_its_place(
    parameter: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        convert({"method": "random", "parameters": {"lr": parameter}})
    assert "parameters.lr" in caught.value.detail


def test_early_termination_without_end_is_refused() -> None:
    sweep = parsed(FILES / "wandb" / "nested_grid.yaml")
    sweep["early_terminate"] = {"type": "hyperband", "max_iter": 27, "s": 10**9}
    with pytest.raises(InvalidInput, match=r"early_terminate\.s"):
        convert(sweep)
