"""A study's report: one file, no script, all names escaped."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from tests.unit.fakes import NOW, best_view, over, trial_view
from tuner.decision import Outcome
from tuner.report import Facts, Follower, page
from tuner.report.charts import Series, plot, ticks
from tuner.trial import EventKind, Origin
from tuner.wire import DriftView, EventView, FinalistView, TrialDetail, TrialView

EVIL = "<script>alert('&\"')</script>"


def detail(number: int, curve: list[tuple[int, float | None, float]]) -> TrialDetail:
    reports: list[dict[str, Any]] = [
        {"attempt": 1, "step": step, "value": value, "status": "ok" if value is not None else "nan",
         "lr_factor": level, "metrics": {}, "at": NOW}
        for step, value, level in curve
    ]  # fmt: skip
    return TrialDetail.model_validate(
        {**trial_view(number=number).model_dump(), "reports": reports, "events": []}
    )


def trials() -> list[TrialView]:
    values = [0.9, 0.4, 0.6, 0.2]
    return [
        trial_view(number=n, value=v, outcome=Outcome.COMPLETE, state="ended")
        for n, v in enumerate(values)
    ]


def facts(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "view": over(),
        "trials": trials(),
        "shown": [detail(3, [(1, 0.9, 1.0), (2, 0.5, 1.0), (3, 0.2, 0.5)])],
        "decisions": {("halved", "halve_on_plateau"): 4, ("pruned", "asha"): 1},
        "findings": [],
        "importance": [("lr", 0.75), ("dropout", 0.25)],
        "unimportant": "",
        "environment": None,
        "replay": "run: external\n",
        "followers": [],
        "made_at": NOW,
        "url": "http://server.test",
        "version": "1.2",
    }
    return Facts(**{**fields, **changes})


def read(html: str) -> ET.Element:
    return ET.fromstring(html.removeprefix("<!DOCTYPE html>\n"))


def words(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(read(html).find("body").itertext()))  # type: ignore[union-attr]


def finding(**data: Any) -> EventView:
    return EventView.model_construct(
        seq=1, kind=EventKind.HALVED, at=NOW, study_id=7, number=3, step=5, data=data
    )


def test_a_report_is_one_file_without_scripts_or_requests() -> None:
    html = page(facts())
    tree = read(html)
    assert not [e for e in tree.iter() if e.tag in ("script", "link", "img", "iframe", "object")]
    assert not [a for e in tree.iter() for a in e.attrib if a in ("src", "href", "style")]
    assert not re.search(r"url\(|@import|\bon\w+=", html)
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html


def test_texts_of_people_are_escaped() -> None:
    html = page(
        facts(
            view=over(name=EVIL, remark=EVIL, best=best_view(params={EVIL: EVIL})),
            importance=[(EVIL, 0.5)],
            findings=[finding(reason=EVIL)],
            decisions={(EVIL, EVIL): 1},
            replay=EVIL,
            url=EVIL,
        )
    )
    assert "<script" not in html
    assert words(html).count(EVIL) >= 8


def test_texts_that_come_by_other_ways_are_escaped_too() -> None:
    told = DriftView(study=7, of=EVIL, trial=3, text=f"x {EVIL}")
    spec = {
        "objective": {"metric": EVIL, "mode": "min"},
        "run": {"command": ["python", EVIL]},
        "repeats": {"choose": EVIL},
    }
    row = FinalistView(number=3, first=0.25, n=1, mean=0.3, std=0.0, luck=0.05)
    html = page(
        facts(
            view=over(spec=spec, drift=told, finalists=[row]),
            importance=None,
            unimportant=EVIL,
            followers=[
                Follower(over(name=EVIL, drift=told), {}),
                Follower(over(name=EVIL, spec={"run": {"after": {"kind": EVIL}}}), {"value": 1.0}),
            ],
            version=EVIL,
        )
    )
    assert "<script" not in html
    assert words(html).count(EVIL) >= 9


def test_the_best_is_shown_by_its_mean_where_it_ran_on_fresh_seeds() -> None:
    more = {"mean": 0.31, "low": 0.28, "high": 0.34, "std": 0.02, "seeds": 5, "luck": 0.06}
    row = FinalistView(number=3, first=0.25, n=5, **{k: more[k] for k in more if k != "seeds"})
    text = words(page(facts(view=over(best=best_view(**more), finalists=[row]))))
    assert "val_loss 0.31, 95 % interval 0.28 to 0.34" in text
    assert "had 0.25 at step 9: 0.06 better than that" in text
    assert "3 0.25 0.31 0.28 to 0.34 5 +0.06" in re.sub(r"\s+", " ", text)


def test_without_finalists_no_word_on_them() -> None:
    text = words(page(facts()))
    assert "fresh seeds" not in text
    assert "val_loss 0.25 in trial 3 at step 9" in text


def test_pruning_and_halving_are_summed_up() -> None:
    text = words(page(facts()))
    assert "60 steps were trained; ending trials early saved 20 (25% of what" in text
    assert "halve_on_plateau halved 4" in text
    assert "asha pruned 1" in text


def test_a_server_without_importance_is_told_of() -> None:
    text = words(page(facts(importance=None, unimportant="Too few trials.")))
    assert "Too few trials." in text


def test_findings_are_told_the_newest_if_they_are_many() -> None:
    text = words(page(facts(findings=[finding(reason=f"look {n}!") for n in range(60)])))
    assert "look 59!" in text
    assert "look 9!" not in text
    assert "10 earlier ones are left out" in text


@pytest.mark.parametrize(
    ("kind", "metrics", "says"),
    [
        (
            "ensemble",
            {"value": 0.1, "members": 5.0, "best_member": 0.12, "gain": 0.02, "test_gain": 0.01},
            "0.12: a gain of +0.02 on the rows that chose it, of +0.01 on the test rows",
        ),
        ("data_doctor", {"flagged": 7.0, "rows": 1078.0}, "7 of 1078 training labels are doubted"),
        ("neighbours", {"gain": -0.01, "unsure": 0.02}, "change the accuracy by -0.01"),
        ("ensemble", {}, "no result yet"),
    ],
)
def test_what_followed_is_told(kind: str, metrics: dict[str, float], says: str) -> None:
    spec = {"run": {"task": "digits-mlp", "after": {"kind": kind, "of": 7}}}
    assert says in words(page(facts(followers=[Follower(over(spec=spec), metrics)])))


def test_drift_is_told_where_it_was_measured_and_where_it_was_asked() -> None:
    told = DriftView(study=7, of="old", trial=3, pays=True, text="trial 3 is worse: a search pays")
    text = words(page(facts(view=over(drift=told))))
    assert "Does the old best still hold? Trial 3 is worse: a search pays." in text
    follower = Follower(over(name="old-again-1", drift=told), {"value": 0.2})
    text = words(page(facts(followers=[follower])))
    assert "The best again (old-again-1, study 7): Trial 3 is worse: a search pays." in text


def test_snapshots_stand_beside_what_the_search_had() -> None:
    spec = {"run": {"task": "digits-mlp", "after": {"kind": "ensemble", "of": 7, "snapshots": 3}}}
    follower = Follower(over(spec=spec), {"value": 0.4, "members": 3.0})
    text = words(page(facts(view=over(best=best_view(value=0.25)), followers=[follower])))
    assert "snapshots of one training; trained as in the search, the best has 0.25." in text


def test_a_robust_choice_is_named() -> None:
    row = FinalistView(number=3, first=0.25, n=2, mean=0.3, std=0.1, luck=0.05, worst=0.4)
    spec = over().spec | {"repeats": {"choose": "worst"}}
    text = words(page(facts(view=over(finalists=[row], spec=spec))))
    assert "Ranked by their worst run" in text
    assert "3 0.25 0.3 2 0.4 +0.05" in text


def test_a_rule_of_thumb_is_compared_with_what_to_expect() -> None:
    best = best_view(number=3, mean=0.5, seeds=3)
    folk = best_view(number=0, value=0.4, origin="folk")
    text = words(page(facts(view=over(best=best, best_folk=folk))))
    assert "had 0.4 in its one run: the search gained nothing over it" in text
    text = words(page(facts(view=over(best=best_view(number=3, value=0.1), best_folk=folk))))
    assert "had 0.4: the search gained 0.3." in text


def test_a_study_without_a_value_has_a_report() -> None:
    text = words(page(facts(view=over(best=None), trials=[], shown=[], replay="")))
    assert "No trial has a value yet" in text
    assert "How to reproduce" not in text


def test_the_best_so_far_falls_and_finalists_are_no_part_of_it() -> None:
    again = trial_view(number=4, value=0.01, state="ended", origin=Origin.FINALIST)
    html = page(facts(trials=[*trials(), again]))
    assert "over 4 trials" in html
    (line,) = [g for g in read(html).iter("g") if (g.find("title") is not None)
               and g.find("title").text == "best so far"]  # type: ignore[union-attr]  # fmt: skip
    points = line.find("polyline").attrib["points"].split()  # type: ignore[union-attr]
    heights = [float(p.split(",")[1]) for p in points]
    # 0.9, 0.4, 0.4, 0.2: a stair down, so lower on the page
    assert heights == sorted(heights)
    assert len(set(heights)) == 3


def test_cuts_of_the_rate_are_marked_on_the_curve() -> None:
    curve = [(1, 0.9, 1.0), (2, None, 1.0), (3, 0.5, 0.5), (4, 0.4, 0.25), (5, 0.3, 0.25)]
    html = page(facts(shown=[detail(3, curve)]))
    assert html.count("<title>rate cut</title>") == 2


def test_dots_far_outside_are_counted_not_drawn() -> None:
    line = Series(label="best", points=[(0, 1.0), (1, 0.5), (2, 0.5)])
    dots = Series(label="all", points=[(0, 1.0), (1, 0.5), (2, 900.0)], dots=True)
    html = plot([line, dots], title="t", x="x", y="y")
    assert "1 trial lies outside" in html
    assert html.count("<circle") == 2


def test_values_over_magnitudes_get_a_log_scale() -> None:
    series = [Series(label="a", points=[(0, 0.01), (1, 0.1), (2, 1.0)])]
    html = plot(series, title="t", x="x", y="y")
    assert "Log scale." in html
    (line,) = re.findall(r'polyline points="([^"]*)"', html)
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    shown = re.findall(r'class="y"[^>]*>([^<]*)<', html)
    assert [float(text) for text in shown] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    for low in (-0.01, 0.0, 0.5):  # what is not positive, or spans little, keeps a plain one
        series = [Series(label="a", points=[(0, low), (1, 0.7), (2, 1.0)])]
        assert "Log scale" not in plot(series, title="t", x="x", y="y")


def test_finalists_that_few_seeds_cannot_tell_apart_are_named() -> None:
    def row(number: int, low: float, high: float) -> FinalistView:
        mean = (low + high) / 2
        return FinalistView(
            number=number, first=mean, n=3, mean=mean, std=0.1, low=low, high=high, luck=0.0
        )

    rows = [row(3, 0.1, 0.3), row(5, 0.2, 0.4), row(8, 0.29, 0.5), row(9, 0.6, 0.7)]
    text = words(page(facts(view=over(finalists=rows))))
    assert "The interval of trial 3 overlaps with those of 5 and 8: so few seeds" in text
    assert "can't tell" not in words(page(facts(view=over(finalists=[rows[0], rows[3]]))))


def test_advice_is_told_once() -> None:
    told = finding(reason="it bounces: halve the rate", advice="halve the rate")
    assert words(page(facts(findings=[told]))).count("halve the rate") == 1


def test_nothing_is_plotted_of_less_than_two_points() -> None:
    assert plot([Series(label="a", points=[(0, 1.0)])], title="t", x="x", y="y") == ""
    level = plot([Series(label="a", points=[(0, 1.0), (1, 1.0)])], title="t", x="x", y="y")
    assert "polyline" in level


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.013, 0.031, False, [0.015, 0.02, 0.025, 0.03]),  # round numbers inside
        (-1.0, 1.0, False, [-1.0, -0.5, 0.0, 0.5, 1.0]),
        (0.0, 3.0, True, [0.0, 1.0, 2.0, 3.0]),  # no half trials
    ],
)
def test_ticks_are_round(low: float, high: float, whole: bool, expected: list[float]) -> None:
    assert ticks(low, high, whole=whole) == expected
