"""Documents and odd values survive their way through rows."""

from __future__ import annotations

import math
from typing import Any

import pytest

from storage import rows
from tests.contract.ledger_history import SPACE, spec
from tuner.spec import StudySpec
from tuner.trial import RungMark

FULL: dict[str, Any] = {
    "name": "full",
    "objective": {"metric": "val_loss", "mode": "max"},
    "space": SPACE,
    "constraints": ["lr * 256 / batch_size <= 40"],
    "sampler": {"name": "random", "seed": 3},
    "pruner": {"name": "hyperband"},
    "policies": [{"name": "halve_on_plateau", "min_lr": 1e-5}, {"name": "divergence"}],
    "budget": {"trials": 60, "steps": 27, "parallel": 4, "hours": 8.0, "max_failures": 5},
    "repeats": {"finalists": 3, "seeds": 5},
    "run": {"task": "digits-mlp"},
    "retry": {"max": 3},
    "queue": {"project": "vision", "priority": 50, "labels": {"gpu": "a100"}},
}


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        {**FULL, "run": {"entrypoint": "pkg.train:main"}, "pruner": {"name": "none"}},
        {"objective": {"metric": "loss", "mode": "min"}, "run": "external"},
        {**FULL, "pruner": {"name": "asha", "min": 3, "max": 27, "eta": 3}, "policies": []},
    ],
)
def test_a_stored_document_is_read_back_equal(document: dict[str, Any]) -> None:
    whole = StudySpec.model_validate(document)
    again = rows.read_spec(whole.model_dump_json(exclude_none=True))
    assert again == whole
    assert again.build_space() == whole.build_space()


def test_default_document_is_small() -> None:
    assert "null" not in spec().model_dump_json(exclude_none=True)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(0.5, "ok"), (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"), (-0.0, "ok")],
)
def test_values_that_are_not_finite_are_kept(value: float, kind: str) -> None:
    assert rows.kind_of(value) == kind
    stored = value if kind == "ok" else None
    assert repr(rows.value_of(stored, kind)) == repr(value)
    (mark,) = rows.read_marks(rows.to_json((RungMark(0, 1, 3, value),)))
    assert repr(mark) == repr(RungMark(0, 1, 3, value))


def test_json_never_holds_a_number_that_is_not_finite() -> None:
    data = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": 1.5}
    assert rows.to_json(data) == '{"a": "nan", "b": ["inf", {"c": "-inf"}], "d": 1.5}'
