"""Findings on the rate and on a loss that rests: histories, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tuner.findings import MOST, Course, Finding, Reported, advance, judged


def told(metrics: Sequence[dict[str, float]], level: float = 1.0) -> list[Reported]:
    """Return reports of metrics, one a step."""
    return [
        Reported.of(step, 0.0, level, found, "accuracy")
        for step, found in enumerate(metrics, start=1)
    ]


def rules(found: Sequence[Finding]) -> list[tuple[str, int]]:
    return [(finding.rule, finding.step) for finding in found]


@pytest.mark.parametrize(
    ("ratios", "level", "expected"),
    [
        # the example of the requirement: 3e-5 for 5 epochs
        ([3e-5] * 5, 1.0, [("update_ratio_low", 5)]),
        # four reports are no five
        ([3e-5] * 4, 1.0, []),
        # one report in the band begins the count anew
        ([3e-5] * 4 + [1e-3] + [3e-5] * 4, 1.0, []),
        # said once, however long it lasts
        ([3e-5] * 40, 1.0, [("update_ratio_low", 5)]),
        # ten times lower than said is news
        ([3e-5] * 5 + [3e-6] * 5, 1.0, [("update_ratio_low", 5), ("update_ratio_low", 10)]),
        # nine times lower is none
        ([9e-5] * 5 + [1.01e-5] * 5, 1.0, [("update_ratio_low", 5)]),
        # gone for five reports, then back: said again
        ([3e-5] * 5 + [1e-3] * 5 + [3e-5] * 5, 1.0,
         [("update_ratio_low", 5), ("update_ratio_low", 15)]),
        # gone for four: not
        ([3e-5] * 5 + [1e-3] * 4 + [3e-5] * 5, 1.0, [("update_ratio_low", 5)]),
        # the rate was lowered by decision: small updates are meant
        ([3e-5] * 9, 0.5, []),
        # the edges of the band are in it
        ([1e-4] * 9, 1.0, []),
        ([3e-2] * 9, 1.0, []),
        # above it, but on its way down, as at the start of a training
        ([0.4 * 0.8**i for i in range(11)], 1.0, []),
        ([0.05] * 5, 1.0, [("update_ratio_high", 5)]),
        # also where it was lowered
        ([0.05] * 5, 0.5, [("update_ratio_high", 5)]),
    ],
)  # fmt: skip
def test_the_update_ratio(
    ratios: list[float], level: float, expected: list[tuple[str, int]]
) -> None:
    assert rules(judged(told([{"update_ratio": r} for r in ratios], level))) == expected


def test_the_advice_names_the_factor() -> None:
    (low,) = judged(told([{"update_ratio": 3e-5}] * 5))
    assert low.text == "update ratio 3e-5 for 5 reports: the rate is about 30 times too low"
    (high,) = judged(told([{"update_ratio": 0.05}] * 5))
    assert high.text == "update ratio 0.05 for 5 reports: the rate is about 50 times too high"
    assert high.document()["reason"] == high.text
    assert high.document()["measure"] == pytest.approx(0.05)


def test_large_updates_of_a_training_that_learns_are_no_fault() -> None:
    for factor, expected in ((0.9, []), (0.97, ["update_ratio_high"])):
        losses = [2.0, *(1.5 * factor**i for i in range(9))]
        reports = told([{"update_ratio": 0.05, "train_loss": loss} for loss in losses])
        assert [f.rule for f in judged(reports)] == expected
    resting = told([{"update_ratio": 0.05, "train_loss": 2.0 + 0.01 * (i % 2)} for i in range(4)])
    assert not judged(resting)


def test_a_small_gradient_and_a_lowered_rate_explain_small_updates() -> None:
    faded = [{"update_ratio": 1e-3, "grad_norm": 1.0}] + [
        {"update_ratio": 1e-5, "grad_norm": 1e-3}
    ] * 9
    assert "update_ratio_low" not in dict(rules(judged(told(faded))))
    annealed = [{"update_ratio": 1e-3, "lr": 0.1}] + [{"update_ratio": 1e-5, "lr": 0.01}] * 9
    assert not judged(told(annealed))
    constant = [{"update_ratio": 1e-5, "lr": 0.1}] * 5
    assert rules(judged(told(constant))) == [("update_ratio_low", 5)]


def stalled(gradient: float, losses: Sequence[float]) -> list[dict[str, float]]:
    start = [{"train_loss": 2.0, "grad_norm": 1.0}]
    return start + [{"train_loss": loss, "grad_norm": gradient} for loss in losses]


def test_a_loss_that_goes_up_and_down_bounces() -> None:
    found = judged(told(stalled(0.8, [1.2, 1.3] * 6)))
    assert rules(found) == [("bounces", 9)]
    assert "the gradient norm, 0.8, is not near zero" in found[0].seen
    # the same loss, at another gradient
    assert rules(judged(told(stalled(1e-5, [1.2, 1.3] * 6)))) == [("flat", 9)]
    # one that falls, and one that is solved
    assert not judged(told(stalled(0.8, [1.2 * 0.97**i for i in range(20)])))
    assert not judged(told(stalled(0.8, [0.012, 0.013] * 6)))


def test_a_measured_curvature_says_what_a_flat_place_is() -> None:
    saddle = {
        "train_loss": 2.0, "grad_norm": 1e-6, "hessian_min": -0.8, "hessian_max": 3.1,
        "escape_from": 2.0, "escape_to": 1.7, "escape_step": 0.3,
    }  # fmt: skip
    (found,) = judged(told([saddle] * 30))
    assert (found.rule, found.step) == ("saddle", 1)
    assert "from -0.8 to 3.1, a saddle; a step of 0.3" in found.seen
    assert "takes the loss from 2 to 1.7" in found.seen
    bottom = {"train_loss": 1.9, "grad_norm": 1e-6, "hessian_min": 0.01, "hessian_max": 3.1}
    assert rules(judged(told([bottom]))) == [("minimum", 1)]
    done = [{"train_loss": 2.0}, {**bottom, "train_loss": 0.1}]
    assert not judged(told(done))


def test_a_new_attempt_counts_anew_and_repeats_nothing() -> None:
    reports = told([{"update_ratio": 3e-5}] * 20)
    course, said = Course(), list[tuple[str, int]]()
    for attempt, upto in ((1, 4), (2, 9), (3, 20)):
        for report in reports[:upto]:
            course, found = advance(course, report, attempt)
            said += [(f.rule, attempt) for f in found]
    assert said == [("update_ratio_low", 2)]


def test_a_trial_has_a_few_findings_at_most() -> None:
    back_and_forth = ([{"update_ratio": 0.05}] * 5 + [{"update_ratio": 1e-5}] * 5) * 20
    assert len(judged(told(back_and_forth))) == MOST


def test_reports_without_metrics_keep_nothing() -> None:
    course = Course()
    for report in told([{}] * 9):
        course, found = advance(course, report, 1)
        assert not found
    assert course == Course(attempt=1)
