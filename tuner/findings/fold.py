"""The fold over a trial's reports: when a rule's signs become a finding, and when it is silent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tuner.findings.base import (
    MOST,
    WINDOW,
    Course,
    Finding,
    Past,
    Reported,
    Rule,
    Sign,
    Streak,
    Told,
)
from tuner.findings.rules import RULES

ABSENT = 5
"""Reports without a sign after which a rule may speak anew."""
_SMALLEST = 1e-300


def advance(course: Course, report: Reported, attempt: int) -> tuple[Course, tuple[Finding, ...]]:
    """Take in an attempt's next report; return what is kept, and what it brought to light.

    A rule speaks when it saw its sign in as many reports in a row as its patience. It speaks again
    if its measure moved by its factor since, or if the sign was gone for `ABSENT` reports; and at
    most `MOST` findings are made of a trial. A new attempt begins anew, knowing what was said.
    """
    if attempt != course.attempt:
        told = {name: last._replace(absent=0) for name, last in course.told.items()}
        course = Course(attempt=attempt, told=told, said=course.said)
    if not (report.metrics or course.reports):
        return course, ()
    course = _heard(course, report)
    streaks: dict[str, Streak] = {}
    told = dict(course.told)
    found: list[Finding] = []
    for rule in RULES:
        sign = rule.sign(course, report)
        if sign is None:
            _forget(told, rule.name)
            continue
        streak = _longer(course.streaks.get(rule.name, Streak()), sign)
        if rule.name in told:
            told[rule.name] = told[rule.name]._replace(absent=0)
        if streak.length < rule.patience:
            streaks[rule.name] = streak
        elif _is_news(rule, streak, told.get(rule.name)) and course.said + len(found) < MOST:
            told[rule.name] = Told(streak.mean)
            found.append(_finding(rule, streak, sign, report.step))
    course = course._replace(streaks=streaks, told=told, said=course.said + len(found))
    return _passed(course, report), tuple(found)


def known(documents: Sequence[Mapping[str, Any]]) -> Course:
    """Return the course of a trial of whose earlier attempts these findings are known."""
    told = {str(d["rule"]): Told(float(d.get("measure") or 0.0)) for d in documents}
    return Course(told=told, said=len(documents))


def judged(reports: Iterable[Reported]) -> tuple[Finding, ...]:
    """Return the findings of a whole history, ordered by step."""
    course, found = Course(attempt=1), list[Finding]()
    for report in reports:
        course, new = advance(course, report, 1)
        found += new
    return tuple(found)


def _heard(course: Course, report: Reported) -> Course:
    """Take in what the rules compare this report with."""
    rate = report.metrics.get("lr", 0.0)
    first = course.first_train
    return course._replace(
        reports=course.reports + 1,
        first_train=report.train if first is None else first,
        top_rate=max(course.top_rate, rate),
        rate=rate,
    )


def _passed(course: Course, report: Reported) -> Course:
    """Move the window on past a report."""
    past = Past(report.step, report.train, report.val)
    window, best, lowest = (*course.window, past), course.best, course.best_train
    if len(window) > WINDOW:
        if window[0].train is not None:
            lowest = min(lowest, window[0].train)
        window = window[1:]
    if past.val is not None and (best is None or best.val is None or past.val < best.val):
        best = past
    found = report.metrics
    return course._replace(
        window=window,
        best=best,
        best_train=lowest,
        top_grad=max(course.top_grad, found.get("grad_norm", 0.0)),
        least_ratio=min(course.least_ratio, found.get("update_ratio", math.inf)),
    )


def _longer(streak: Streak, sign: Sign) -> Streak:
    return Streak(streak.length + 1, streak.logs + math.log(max(abs(sign.measure), _SMALLEST)))


def _is_news(rule: Rule, streak: Streak, told: Told | None) -> bool:
    if told is None:
        return True
    moved = abs(math.log(max(streak.mean, _SMALLEST) / max(told.measure, _SMALLEST)))
    return moved >= math.log(rule.again) * (1 - 1e-9)


def _forget(told: dict[str, Told], name: str) -> None:
    if (last := told.get(name)) is None:
        return
    if last.absent + 1 >= ABSENT:
        del told[name]
    else:
        told[name] = last._replace(absent=last.absent + 1)


def _finding(rule: Rule, streak: Streak, sign: Sign, step: int) -> Finding:
    data: Mapping[str, float | int | str | None] = {
        "measure": streak.mean, "reports": streak.length, **sign.data,
    }  # fmt: skip
    seen, advice = rule.say(streak, sign)
    return Finding(rule=rule.name, step=step, seen=seen, advice=advice, data=data)
