"""Columns become numbers as the craft says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tuner.train.table import columns


def test_a_number_gets_mean_0_and_variance_1_and_the_unknown_its_mean() -> None:
    column, note = columns.fit("x", ["1", "2", "3", None])
    assert isinstance(column, columns.Numeric)
    assert note is None
    step = 1 / math.sqrt(2 / 3)
    found = column.apply(["1", "3", None, "?", "1e9"])
    expected = [[-step, 0], [step, 0], [0, 1], [0, 1], [columns.CUT_OFF, 0]]
    assert found.tolist() == [pytest.approx(row) for row in expected]


def test_a_number_that_spans_magnitudes_is_taken_by_log1p() -> None:
    column, _ = columns.fit("x", ["1", "10", "-100", "100000"])
    assert isinstance(column, columns.Numeric)
    assert column.log1p
    logs = np.array([math.log(2), math.log(11), -math.log(101), math.log(100001)])
    expected = (logs - logs.mean()) / logs.std()
    assert column.apply(["1", "10", "-100", "100000"])[:, 0] == pytest.approx(expected)
    plain, _ = columns.fit("x", ["1", "2", "99"])
    assert isinstance(plain, columns.Numeric)
    assert not plain.log1p


def test_a_date_becomes_days_and_places_in_the_year_and_the_week() -> None:
    column, _ = columns.fit("x", ["2024-01-01", "2024-01-03"])
    assert isinstance(column, columns.Dates)
    assert not column.day
    later = column.apply(["2024-01-01", "2024-01-08", None])
    assert later.shape == (3, 5)
    assert later[0, 0] == pytest.approx(-1.0)  # a day from the mean, whose spread is a day
    assert later[0, [2, 4]] == pytest.approx(later[1, [2, 4]])  # a week apart: the same weekday
    assert later[2].tolist() == [0, 0, 0, 0, 0]
    times, _ = columns.fit("x", ["2024-01-01T06:00:00Z", "2024-01-02T20:00:00+02:00"])
    assert isinstance(times, columns.Dates)
    # 6 and 18 o'clock: opposite in the day. Columns are days, three sines, three cosines.
    found = times.apply(["2024-01-01T06:00:00Z", "2024-01-02T20:00:00+02:00"])
    assert found[:, 3] == pytest.approx([1, -1])


def test_a_word_becomes_levels_known_from_training() -> None:
    column, _ = columns.fit("x", ["a", "b", "b", None])
    assert isinstance(column, columns.Category)
    found = column.apply(["a", "b", None, "new"])
    assert found.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    many, _ = columns.fit("x", [f"w{i % 60:02d}" for i in range(600)] + ["w00"])
    assert isinstance(many, columns.Category)
    assert (len(many.levels), many.other, many.width) == (50, True, 51)
    assert many.apply(["w59", "new"])[:, -1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["1", "1", "1"], "the same in all training rows"),
        ([None, None], "the same in all training rows"),
        ([f"name {i}" for i in range(100)], "100 different texts are no categories"),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_with_a_note(
    cells: list[str | None], why: str
) -> None:
    column, note = columns.fit("x", cells)
    assert column is None
    assert note is not None
    assert why in note


def test_odd_values_among_numbers_count_as_unknown() -> None:
    column, note = columns.fit("x", [*map(str, range(99)), "<5"])
    assert isinstance(column, columns.Numeric)
    assert column.missing
    assert note == "x: 1 odd value counts as unknown"


def test_a_number_too_large_to_be_squared_and_summed_is_none() -> None:
    column, note = columns.fit("x", [*map(str, range(99)), "1e308"])
    assert isinstance(column, columns.Numeric)
    assert column.mean == pytest.approx(49.0)
    assert note == "x: 1 odd value counts as unknown"


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([str(i) for i in range(100, 140)], True),
        ([str(2 * i) for i in range(40)], True),  # with gaps: those rows are held out
        ([str(3 * i) for i in range(40)], False),
        ([str(i % 20) for i in range(40)], False),
        ([str(i + 0.5) for i in range(40)], False),
        ([*map(str, range(39)), None], False),
    ],
)
def test_a_column_that_seems_to_number_the_rows_is_told_of(
    cells: list[str | None], said: bool
) -> None:
    _, note = columns.fit("x", cells)
    assert (note is not None and "seems to number the rows" in note) is said
