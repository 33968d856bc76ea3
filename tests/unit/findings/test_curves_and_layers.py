"""Findings on the curves and on layers: histories, and what is said of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tuner.findings import RULES, Finding, Reported, judged


def curves(pairs: Sequence[tuple[float, float]]) -> list[Reported]:
    """Return reports of a training and a validation loss."""
    return [
        Reported.of(step, val, 1.0, {"train_loss": train}, "val_loss")
        for step, (train, val) in enumerate(pairs, start=1)
    ]


def layers(what: str, found: dict[str, float], count: int) -> list[Reported]:
    metrics = {f"layer/{name}/{what}": value for name, value in found.items()}
    return [Reported.of(step, 0.0, 1.0, metrics, "accuracy") for step in range(1, count + 1)]


def names(found: Sequence[Finding]) -> list[str]:
    return [finding.rule for finding in found]


FALLING = [(1.0 * 0.9**i, 1.1 * 0.9**i) for i in range(8)]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        # both go on falling
        ([(0.4 * 0.9**i, 0.5 * 0.95**i) for i in range(9)], []),
        # validation rises by a tenth a report, training falls
        ([(0.4 * 0.9**i, 0.53 * 1.1**i) for i in range(6)], ["over_fitting"]),
        # for too few reports
        ([(0.4 * 0.9**i, 0.53 * 1.1**i) for i in range(5)], []),
        # both rise: no over-fitting
        ([(0.6 * 1.1**i, 0.6 * 1.1**i) for i in range(9)], []),
        # within 5 % of the best is noise
        ([(0.3 * 0.9**i, 0.54) for i in range(9)], []),
    ],
)
def test_over_fitting(after: list[tuple[float, float]], expected: list[str]) -> None:
    assert names(judged(curves(FALLING + after))) == expected


def test_over_fitting_names_the_best_step() -> None:
    rising = [(0.4 * 0.9**i, 0.6 * 1.02**i) for i in range(5)]
    (found,) = judged(curves(FALLING + rising))
    assert found.step == 13
    assert "its best, 0.526 at step 8, to 0.649, while the training loss fell by 45%" in found.seen
    assert "stop near step 8" in found.advice


def test_under_fitting() -> None:
    resting = [(2.3, 2.31)] + [(1.9, 1.92)] * 20
    (found,) = judged(curves(resting))
    assert found.rule == "under_fitting"
    assert "1.9, 83% of its first" in found.seen
    # it went down to a third: that is no under-fitting
    assert not judged(curves([(2.3, 2.31)] + [(0.7, 0.72)] * 20))
    # the validation loss is much higher: that is another fault
    assert not judged(curves([(2.3, 2.31)] + [(1.9, 2.2)] * 20))


@pytest.mark.parametrize(
    ("what", "found", "expected"),
    [
        # from the input upward: what comes first is lowest
        ("grad", {"a": 1e-7, "m": 1e-3, "b": 1.0}, ["gradients_vanish"]),
        ("grad", {"a": 1e5, "m": 3.0, "b": 1.0}, ["gradients_explode"]),
        ("grad", {"a": 1e-3, "b": 1.0}, []),
        ("grad", {"a": 0.0, "b": 1.0}, ["gradients_vanish"]),
        ("grad", {"a": 0.0, "b": 0.0}, []),
        ("var", {"a": 1.0, "b": 1e-5}, ["signal_fades"]),
        ("var", {"a": 1.0, "b": 1e5}, ["signal_explodes"]),
        ("var", {"a": 1.0}, []),
        ("dead", {"a": 0.1, "b": 0.6}, ["dead_units"]),
        ("dead", {"a": 0.49}, []),
    ],
)
def test_layers(what: str, found: dict[str, float], expected: list[str]) -> None:
    said = judged(layers(what, found, 12))
    assert names(said) == expected
    assert all({"a", "b"} & {f.data.get("small"), f.data.get("layer")} for f in said)
    assert not judged(layers(what, found, 2))


def test_dead_units_in_words() -> None:
    (found,) = judged(layers("dead", {"hidden.0": 0.55, "hidden.1": 0.62}, 3))
    assert found.seen == (
        "62% of the ReLUs of hidden.1 answered to no row for 3 reports (2 of 2 layers are like it)"
    )


def test_the_page_has_each_rule_with_its_patience() -> None:
    page = (Path(__file__).parents[3] / "docs" / "diagnostics.md").read_text(encoding="utf-8")
    for rule in RULES:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{rule.name}` |")]
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[3:5] == [str(rule.patience), f"× {rule.again:g}"]  # noqa: RUF001


def test_what_is_stored_is_finite_and_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    (found,) = judged(layers("grad", {"a": 1e-7, "b": 1.0}, 5))
    document = found.document()
    assert {"rule", "step", "reason", "seen", "advice", "measure", "reports"} <= document.keys()
    assert all(math.isfinite(n) for n in document.values() if isinstance(n, float))
