"""Why a study waits, as the board says it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.charts.board import place, waits
from tuner.spec import check
from tuner.study import Study
from tuner.trial import StudyState

START = datetime(2026, 1, 1, tzinfo=UTC)


def queued(number: int, priority: int = 0, project: str = "p", **changes: Any) -> Study:
    """Return a study submitted `number` minutes after the start."""
    spec = check(
        {
            "objective": {"metric": "loss", "mode": "min"},
            "run": {"task": "digits-mlp"},
            "queue": {"priority": priority, "project": project},
            **changes,
        }
    )
    return Study(
        study_id=number, name=f"s{number}", spec=spec, state=StudyState.QUEUED, created_by="a",
        created_at=START + timedelta(minutes=number),
    )  # fmt: skip


MINE = queued(5)


@pytest.mark.parametrize(
    ("others", "running", "said"),
    [
        ([], {}, "next in line for a free slot"),
        ([queued(6), queued(7, -1)], {}, "next in line for a free slot"),
        ([queued(1)], {}, "waits behind 1 submitted earlier"),
        (
            [queued(9, priority=3), queued(1)], {},
            "waits behind 1 of higher priority, 1 submitted earlier",
        ),
        # A project that runs less goes first, however late it came.
        ([queued(9, project="q")], {"p": 2}, "waits behind 1 of projects that run fewer trials"),
        ([queued(1, project="q")], {"q": 2}, "next in line for a free slot"),
    ],
)  # fmt: skip
def test_why_a_study_waits(others: list[Study], running: dict[str, int], said: str) -> None:
    assert waits(MINE, [*others, MINE], Counter(running)) == said


def test_an_external_study_waits_for_its_own_loop() -> None:
    assert (
        waits(queued(1, run="external"), [], Counter()) == "its own loop has asked for no trial yet"
    )


def test_the_board_lists_the_queued_as_the_queue_has_them() -> None:
    early, late = queued(1), queued(2, project="q")
    assert sorted([early, late], key=lambda s: place(s, Counter(p=1))) == [late, early]
    assert sorted([early, late], key=lambda s: place(s, Counter())) == [early, late]
