"""The study document: what is read, what is refused, and in which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tuner.errors import InvalidInput, Malformed
from tuner.space import Categorical, Numeric, Space, default_space
from tuner.spec import StudySpec, check, load, parse_json, parse_yaml
from tuner.spec.read import _no_duplicates
from tuner.spec.space import space_document

WHOLE = """
api_version: v1
name: digits-mlp
objective: {metric: val_loss, mode: min}
space:
  momentum:   {min: 0.8, max: 0.99, when: {optimizer: sgd}}
  lr:         {min: 1.0e-4, max: 1, log: true}
  batch_size: {values: [16, 32, 64, 128, 256]}
  optimizer:  {values: [sgd, adam]}
  layers:     {min: 1, max: 4}
  width:      {min: 8, max: 64, step: 8}
constraints: ["lr * 256 / batch_size <= 4"]
sampler:  {name: tpe, seed: 0}
pruner:   {name: asha, min: 3, max: 27, eta: 3}
policies: [{name: halve_on_plateau, factor: 0.5, patience: 3, min_lr: 1e-5}, {name: divergence}]
budget:   {trials: 60, steps: 27, parallel: 4, hours: 8, max_failures: 5}
repeats:  {finalists: 3, seeds: 5}
run:      {task: digits-mlp}
retry:    {max: 3}
queue:    {project: vision, priority: 50, labels: {gpu: a100}}
"""


def minimal(**more: Any) -> dict[str, Any]:
    return {"objective": {"metric": "val_loss"}, "run": "external", **more}


def fault(**more: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        check(minimal(**more))
    return "\n".join(f"{f.where}: {f.message}" for f in caught.value.faults)


def test_whole_document_is_read() -> None:
    spec = check(parse_yaml(WHOLE))
    assert spec.budget.hours == 8
    assert spec.repeats is not None
    assert spec.repeats.seeds == 5
    assert spec.queue.labels == {"gpu": "a100"}
    assert spec.build_space() == Space(
        parameters={
            "lr": Numeric(integer=False, low=1e-4, high=1.0, log=True),
            "batch_size": Categorical(values=(16, 32, 64, 128, 256)),
            "optimizer": Categorical(values=("sgd", "adam")),
            "layers": Numeric(integer=True, low=1, high=4),
            "width": Numeric(integer=True, low=8, high=64, step=8),
            "momentum": Numeric(integer=False, low=0.8, high=0.99, when={"optimizer": ("sgd",)}),
        }
    )


def test_parents_come_before_children() -> None:
    names = list(check(parse_yaml(WHOLE)).build_space().parameters)
    assert names.index("optimizer") < names.index("momentum")


def test_json_and_yaml_mean_the_same() -> None:
    spec = check(parse_yaml(WHOLE))
    assert check(parse_json(json.dumps(spec.model_dump(mode="json")))) == spec


def test_only_objective_and_run_are_required() -> None:
    spec = check(minimal())
    assert spec.build_space() == default_space()
    with pytest.raises(InvalidInput) as caught:
        check({})
    assert [f.where for f in caught.value.faults] == ["objective", "run"]


def test_default_space_survives_the_document() -> None:
    document = {k: v.model_dump() for k, v in space_document(default_space()).items()}
    assert check(minimal(space=document)).build_space() == default_space()


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_load_reads_files(tmp_path: Any, suffix: str) -> None:
    path = tmp_path / f"study{suffix}"
    spec = check(parse_yaml(WHOLE))
    path.write_text(WHOLE if suffix == ".yaml" else spec.model_dump_json())
    assert load(path) == spec
    assert load(minimal()) == check(minimal())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        # an unknown key is named with its nearest neighbour
        ({"budgett": {}}, "budgett: unknown key; did you mean 'budget'?"),
        (
            {"objective": {"metric": "a", "mod": "min"}},
            "objective.mod: unknown key; did you mean 'mode'",
        ),
        ({"run": {"task": "x", "divice": "cpu"}}, "run.divice: unknown key; did you mean 'device'"),
        ({"pruner": {"name": "asha", "etta": 3}}, "pruner.etta: unknown key; did you mean 'eta'"),
        (
            {"policies": [{"name": "divergence", "rati": 3}]},
            "policies.0.rati: unknown key; did you",
        ),
        ({"space": {"lr": {"mn": 1, "max": 2}}}, "space.lr.mn: unknown key; did you mean 'min'"),
        # an unknown name is answered with the known ones
        ({"pruner": {"name": "ashaa"}}, "known are asha, hyperband, median, none, percentile"),
        ({"policies": [{"name": "halve"}]}, "known are divergence, early_stopping"),
        ({"sampler": {"name": "bayes"}}, "sampler.name: should be one of 'tpe', 'random'"),
        ({"run": "extern"}, "run: give {task: NAME}"),
        (
            {"space": {"my lr": {"min": 1, "max": 2}}},
            "my lr: should be a letter or _, then up to 63 letters, digits and _, not 'my lr'",
        ),
        ({"objective": {"metric": "a b", "mode": "min"}}, "digits and _./-, not 'a b'"),
        ({"run": {"entrypoint": "no colon"}}, "should look like package.module:function"),
        (
            {"run": {"task": "table", "data": "a.xlsx", "target": "y"}},
            "run.data: should name a file that ends in .csv, .tsv, .txt or .parquet",
        ),
        # wrong kinds
        ({"budget": {"trials": "7"}}, "budget.trials: should be a whole number"),
        ({"budget": {"trials": True}}, "budget.trials: should be a whole number"),
        (
            {"budget": {"trials": 10**12}},
            "budget.trials: should be 1000000 or less, not 1000000000000",
        ),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"space": {"lr": {"min": "1", "max": 2}}}, "space.lr.min: should be a whole number"),
        ({"objective": []}, "objective: should be a mapping"),
        # ranges
        ({"space": {"a": {"min": 0, "max": 1, "log": True}}}, "a log range needs min > 0, not 0"),
        ({"space": {"a": {"min": 2, "max": 1}}}, "min (2) must be smaller than max (1)"),
        ({"space": {"a": {"min": 1, "max": 1}}}, "must be smaller"),
        ({"space": {"a": {"min": 1}}}, "min and max go together"),
        ({"space": {"a": {"min": 0, "max": 1, "step": 0.3}}}, "step 0.3 does not divide"),
        ({"space": {"a": {"min": 0, "max": 1, "step": 2}}}, "step 2 does not divide"),
        ({"space": {"a": {"min": 0, "max": 1.0, "step": -0.5}}}, "step must be positive"),
        ({"space": {"a": {"min": 1, "max": 8, "log": True, "step": 1}}}, "exclude each other"),
        ({"space": {"a": {"min": 0, "max": float("nan")}}}, "space.a.max"),
        ({"space": {"a": {"min": 0, "max": float("inf")}}}, "space.a.max"),
        ({"space": {"a": {"min": 0, "max": 10**30}}}, "bounds lie within"),
        ({"space": {"a": {"min": 0.5, "max": 3, "type": "int"}}}, "whole bounds"),
        # lists
        ({"space": {"a": {"values": []}}}, "space.a.values"),
        ({"space": {"a": {"values": list(range(1_000_000))}}}, "space.a.values"),
        ({"space": {"a": {"values": [1, 1.0]}}}, "values 1 and 1.0 are the same"),
        ({"space": {"a": {"values": [1, True]}}}, "values 1 and True are the same"),
        ({"space": {"a": {"values": [0, False]}}}, "values 0 and False are the same"),
        ({"space": {"a": {"values": [1, 2], "min": 0, "max": 1}}}, "give either"),
        ({"space": {"a": {"values": [1, 2], "log": True}}}, "go with min and max"),
        ({"space": {"a": {}}}, "give either"),
        ({"space": {}}, "space"),
        ({"space": {"a b": {"value": 1}}}, "space"),
        # conditions
        ({"space": {"a": {"value": 1, "when": {"b": 1}}}}, "names 'b', which is not a parameter"),
        (
            {"space": {"a": {"value": 1, "when": {"b": 2}}, "b": {"values": [1]}}},
            "waits for b=2, which never happens",
        ),
        (
            {"space": {"a": {"value": 1, "when": {"b": 1}}, "b": {"value": 1, "when": {"a": 1}}}},
            "conditions form a circle",
        ),
        # constraints
        ({"constraints": ["lr <"]}, "constraints.0: 'lr <' is not an expression"),
        ({"constraints": ["lr"]}, "is not a comparison"),
        ({"constraints": ["width < 3"]}, "'width' is not one of the parameters"),
        ({"constraints": ["open('x') < lr"]}, "'open' is not one of the functions"),
        ({"constraints": ["lr.real < 1"]}, "uses Attribute"),
        ({"constraints": ["[lr for x in (1, 2)] < 1"]}, "uses ListComp"),
        # names
        ({"name": "x" * 5000}, "name"),
        ({"name": "a\u200bb"}, "U+200B is not allowed"),
        ({"name": "a\u202eb"}, "U+202E is not allowed"),
        ({"name": "a\nb"}, "U+000A is not allowed"),
        ({"name": "17"}, "would look like an id"),
        ({"name": "a/b"}, "'/' is not allowed"),
        ({"name": ".."}, "'/' is not allowed"),
        ({"name": ""}, "name"),
        # the whole
        ({"policies": [{"name": "divergence"}, {"name": "divergence"}]}, "listed more than once"),
        (
            {"policies": [{"name": "warm_restarts"}, {"name": "halve_on_plateau"}]},
            "policies warm_restarts and halve_on_plateau exclude each other: each sets the rate",
        ),
        (
            {"policies": [{"name": "update_ratio"}, {"name": "warm_restarts"}]},
            "exclude each other",
        ),
        ({"policies": [{"name": "warm_restarts", "period": 1, "growth": 1}]}, "never fall"),
        ({"pruner": {"name": "asha", "min": 9, "max": 3}}, "min (9) is larger than max (3)"),
        ({"api_version": "v2"}, "api_version: should be 'v1', not 'v2'"),
    ],
)
def test_bad_documents_are_refused_in_words(more: dict[str, Any], words: str) -> None:
    assert words in fault(**more)


def test_every_fault_is_listed() -> None:
    lines = fault(budget={"trials": 0, "steps": 0}, pruner={"name": "x"}).splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize("document", [None, 1, [], "text", {1: 2}])
def test_other_than_mappings_are_refused(document: object) -> None:
    with pytest.raises(InvalidInput):
        check(document)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',  # a key twice
        '{"a": NaN}',  # not JSON
        '{"a": 1e999}',  # infinite
        "[" * 100_000 + "]" * 100_000,  # deep nesting
        '{"a": "\\ud800"}',  # half of a surrogate pair
        '{"a": "\\u0000"}',  # NUL
        '{"a": ',  # cut off
        "",
    ],
)
def test_bad_json_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_json(text)


class Counted(str):
    """A key that counts how often any was compared."""

    compared = 0
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        type(self).compared += 1
        return str.__eq__(self, other)


def test_a_key_that_stands_twice_among_many_is_found_in_one_walk() -> None:
    keys = [Counted(n) for n in range(3000)]
    with pytest.raises(ValueError, match="'2999' stands twice"):
        _no_duplicates([(key, None) for key in (*keys, Counted(2999))])
    assert Counted.compared < 2 * len(keys)


def test_a_number_of_5000_digits_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="more than 20 digits"):
        parse_json('{"a": ' + "9" * 5000 + "}")


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",  # a key twice
        "a: [1, 2",  # cut off
        "!!python/object:os.system x",  # a tag
        "- " * 5000 + "a",  # deep nesting
        "x: " + "y" * 2_000_000,  # too long
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n"
            for i in range(8)
        ),  # a billion laughs
        "a0: &a0 {x: 1}\n"
        + "".join(
            f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], y{i}: 1}}\n" for i in range(1, 60)
        ),  # the same by merging
    ],
)
def test_bad_yaml_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_yaml(text)


def test_yaml_may_merge() -> None:
    merged = parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}")
    assert merged == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}


def test_yaml_is_version_1_2() -> None:
    assert parse_yaml("a: 1e-4\nb: no\nc: 1.0e-4") == {"a": 1e-4, "b": "no", "c": 1e-4}


def test_values_are_frozen() -> None:
    spec = check(minimal())
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]
    assert isinstance(spec, StudySpec)
