"""A table becomes tensors as the craft says, and nothing of it leaks from validation."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.unit.train.tables import ROWS, Columns, learned, people, write
from tests.unit.train.trainings import curve, saved
from tuner.errors import InvalidInput
from tuner.train import TASKS
from tuner.train.catalog import told
from tuner.train.data import Data, Split
from tuner.train.table import columns, prepare, read, target
from tuner.train.table.read import Table


def _prepared(table: Columns, goal: str, **more: Any) -> prepare.Prepared:
    cells = {name: [read._known(str(cell)) for cell in column] for name, column in table.items()}
    return prepare.prepare(Table(columns=cells, digest=""), goal, **more)


def _parts(goal: list[str], seed: int = 0) -> tuple[prepare.Rows, prepare.Rows, prepare.Rows]:
    return prepare.split(target.strata(goal, target.kind_of("goal", goal, None)), seed)


def _of_the_task(metrics: Mapping[str, float]) -> set[str]:
    """Return the names of metrics, without what every training tells of its layers."""
    return {name for name in metrics if not name.startswith(("layer/", "hessian_", "escape_"))}


def test_a_class_is_learned_from_a_file(tmp_path: Path) -> None:
    trial = learned(write(tmp_path / "people.csv", people()), "buys", "val_accuracy", steps=15)
    metrics = trial.reports[-1].metrics
    assert _of_the_task(metrics) == set(told(TASKS["table"], "classification").metrics)
    assert trial.reports[-1].value == metrics["val_accuracy"] > 0.9
    assert metrics["val_balanced_accuracy"] > 0.9
    assert trial.lines[0].startswith("table: 240 / 80 / 80 rows to train / validate / test, 12 in")


def test_a_number_is_learned_in_its_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", people())
    trial = learned(path, "paid", "val_rmse", about={"ignore": ["buys"]}, steps=15)
    metrics = trial.reports[-1].metrics
    assert _of_the_task(metrics) == set(told(TASKS["table"], "regression").metrics)
    assert trial.reports[-1].value == metrics["val_rmse"] < 60
    assert metrics["val_r2"] > 0.9
    # The loss is in units of the training rows' variance, the error in those of the file.
    paid = np.array([float(cell) for cell in people()["paid"]])
    train, val, _ = _parts(people()["paid"])
    assert metrics["val_rmse"] == pytest.approx(
        math.sqrt(metrics["val_loss"]) * paid[train].std(), rel=1e-4
    )
    share = metrics["val_rmse"] ** 2 / paid[val].var()
    assert metrics["val_r2"] == pytest.approx(1 - share, rel=1e-4)


@pytest.mark.parametrize("goal", ["buys", "paid"])
def test_nothing_leaks_from_the_rows_held_out(goal: str) -> None:
    table = people()
    before = _prepared(table, goal)
    held = set(range(ROWS)) - set(_parts(table[goal])[0].tolist())
    spoilt = {name: list(cells) for name, cells in table.items()}
    for row in held:
        spoilt["income"][row] = "9e30"
        spoilt["town"][row] = f"nowhere {row}"
        spoilt["height"][row] = "tall"
        spoilt["seen"][row] = "1700-01-01"
    after = _prepared(spoilt, goal)
    assert torch.equal(after.data.train.x, before.data.train.x)
    assert torch.equal(after.data.train.y, before.data.train.y)
    assert after.document() == before.document()
    assert after.notes == before.notes
    assert not torch.equal(after.data.val.x, before.data.val.x)
    assert after.data.val.x.abs().max() <= columns.CUT_OFF
    # The same spoiling of training rows is seen: the test can fail.
    spoilt["income"][int(_parts(table[goal])[0][0])] = "9e30"
    assert not torch.equal(_prepared(spoilt, goal).data.train.x, before.data.train.x)


def test_rows_without_a_target_are_for_pseudo_labels_alone(tmp_path: Path) -> None:
    table, whole = people(), _prepared(people(), "buys")
    assert whole.data.unlabelled is None
    more = {name: [*cells, *cells[:50]] for name, cells in table.items()}
    more["buys"][ROWS:] = [""] * 50
    found = _prepared(more, "buys")
    assert found.data.unlabelled is not None
    assert found.data.unlabelled.shape == (50, whole.inputs)
    assert torch.equal(found.data.val.x, whole.data.val.x)
    assert found.document() == whole.document()
    rows = {tuple(row) for part in ("train", "val", "test") for row in _rows(whole.data, part)}
    assert {tuple(row) for row in found.data.unlabelled.tolist()} <= rows  # prepared as the others
    assert "50 rows lack the target: pseudo_labels may use them, nothing else" in found.notes
    path = write(tmp_path / "more.csv", more)
    runs = [
        learned(path, "buys", recipe={"pseudo_labels": sure, "standardise": True}, steps=3)
        for sure in (0.0, 1.0)
    ]
    losses = [[report.metrics["val_loss"] for report in trial.reports] for trial in runs]
    assert losses[0] != losses[1]
    with pytest.raises(InvalidInput, match="each row has its label; give labelled below 1"):
        learned(write(tmp_path / "t.csv", table), "buys", recipe={"pseudo_labels": 0.9})


def _rows(data: Data, part: str) -> list[list[float]]:
    split: Split = getattr(data, part)
    return split.x.tolist()


def test_a_number_s_scale_is_that_of_the_training_rows() -> None:
    table = people()
    train, val, _ = _parts(table["paid"])
    shifted = list(table["paid"])
    top = max(val, key=lambda row: float(shifted[row]))  # stays the largest: the split is the same
    shifted[top] = "99999"
    assert np.array_equal(_parts(shifted)[0], train)
    one, other = (_prepared({**table, "paid": cells}, "paid") for cells in (table["paid"], shifted))
    assert one.target == other.target
    assert one.data.train.y.mean().item() == pytest.approx(0, abs=1e-5)
    assert one.data.train.y.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_the_split_keeps_the_classes_in_proportion() -> None:
    goal = ["rare"] * 10 + ["often"] * 90 + ["once"]
    train, val, test = _parts(goal)
    assert sorted([*train, *val, *test]) == list(range(101))
    found = [Counter(goal[row] for row in part) for part in (train, val, test)]
    assert [part["rare"] for part in found] == [6, 2, 2]
    assert [part["often"] for part in found] == [54, 18, 18]
    assert 100 in train  # a class of one row can't be held out
    assert np.array_equal(_parts(goal)[1], val)
    assert not np.array_equal(_parts(goal, seed=1)[1], val)


def test_the_split_of_a_number_is_like_the_whole() -> None:
    goal = [str(value / 7) for value in range(500)]
    for part in _parts(goal):
        assert np.mean(part) == pytest.approx(249.5, abs=5)


@pytest.mark.parametrize(
    ("cells", "wanted", "kind"),
    [
        (["a", "b"] * 10, None, "classification"),
        (["0", "1", "2"] * 10, None, "classification"),  # few whole numbers
        (["0.5", "1", "2"] * 10, None, "regression"),
        ([str(i) for i in range(30)], None, "regression"),  # many whole numbers
        (["0", "1", "2"] * 10, "regression", "regression"),
        (["0.5", "1", "2"] * 10, "classification", "classification"),
    ],
)
def test_what_a_target_is_follows_from_its_values(
    cells: list[str], wanted: target.Kind | None, kind: str
) -> None:
    assert target.kind_of("goal", cells, wanted) == kind


def test_classes_are_in_the_order_of_their_numbers() -> None:
    assert target._names(["10", "9.0", "9", "2"]) == ("2", "9", "10")
    assert target._names(["b", "a", "10"]) == ("10", "a", "b")


def test_what_a_target_s_owner_should_know_is_said() -> None:
    goal = [*(["often"] * 60), *(["seldom"] * 2), "once"]
    found = _prepared({"x": [str(i % 7) for i in range(63)], "goal": goal}, "goal")
    assert found.notes == ("goal: too rare to be held out, so only trained on: once, seldom",)
    amounts = [str(i / 7) for i in range(499)]
    far = _prepared({"x": [str(i % 7) for i in range(500)], "goal": [*amounts, "99999"]}, "goal")
    assert far.notes[0].startswith("goal: 99999 lies 5.6e+03 times as far out as the middle row; ")
    with pytest.raises(InvalidInput, match=r"goal: 1e\+30 lies .* mend it, or leave the row out"):
        _prepared({"x": [str(i % 7) for i in range(500)], "goal": [*amounts, "1e30"]}, "goal")


@pytest.mark.parametrize("odd", ["unknown", "1e308"])
def test_a_number_with_a_slip_is_refused_by_name(odd: str) -> None:
    amounts = [str(i / 7) for i in range(99)]
    why = f"a value that is no number below 1e\\+100: '{odd}'; mend or clear those cells"
    with pytest.raises(InvalidInput, match=why):
        _prepared({"x": [str(i % 7) for i in range(100)], "goal": [*amounts, odd]}, "goal")


@pytest.mark.parametrize(
    ("delimiter", "cell", "read_as"),
    [
        (";", "1,5", "1.5"),
        (";", "-1.234,50", "-1234.50"),
        (";", "1,5,2", "1,5,2"),
        (";", "12.34,5", "12.34,5"),
        (";", "Bonn, Rhein", "Bonn, Rhein"),
        (",", "1,5", "1,5"),  # perhaps 15 with a thousands' comma: a text
    ],
)
def test_commas_are_decimal_between_other_delimiters(
    delimiter: str, cell: str, read_as: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "a.csv", {"x": [cell], "y": ["1"]}, delimiter)
    assert read.read(path).columns["x"] == (read_as,)


def test_csv_of_any_common_delimiter_and_parquet_are_the_same(tmp_path: Path) -> None:
    table = people()
    plain = read.read(write(tmp_path / "a.csv", table))
    for name, delimiter in (("b.csv", ";"), ("c.tsv", "\t"), ("d.txt", "|")):
        assert read.read(write(tmp_path / name, table, delimiter)).columns == plain.columns
    typed = pa.table(
        {
            "income": pa.array([float(cell) for cell in table["income"]]),
            "seen": pa.array([datetime.date.fromisoformat(cell) for cell in table["seen"]]),
            "buys": pa.array(table["buys"]),
        }
    )
    pq.write_table(typed, tmp_path / "people.parquet")
    one = prepare.prepare(read.read(tmp_path / "people.parquet"), "buys")
    other = prepare.prepare(plain, "buys", ignore=["town", "height", "paid"])
    assert torch.equal(one.data.val.x, other.data.val.x)
    assert one.document() == other.document()


@pytest.mark.parametrize(
    ("content", "goal", "why"),
    [
        ("", "y", "is empty"),
        (" \n", "y", "is empty"),
        ("a,y\n", "y", "no rows below its header"),
        ("a,a\n1,2\n", "a", "two columns are named 'a'"),
        ("a,\n1,2\n", "a", "a column has no name"),
        ("a,y\n1,2\n1\n", "y", "line 3: 1 cells instead of 2"),
        ("a,y\n" + "1,2\n" * 20, "z", "no column 'z'; it has a, y"),
        ("a,y\n" + "1,2\n" * 20, "y", "the target y is the same in all rows"),
        ("a,y\n" + "1,\n" * 20, "y", "0 rows have the target y"),
        ("a,y\n" + "1,2\n1,3\n" * 4, "y", "8 rows have the target y; a table needs 10"),
        ("a,y\n" + "1,2\n1,3\n" * 20, "y", "no column is left to predict from"),
        ("a,y\n" + "".join(f"{i},w{i}\n" for i in range(40)), "y", "40 classes in 40 rows"),
        ('a,y\n"1,2\n', "y", "line 2: unexpected end of data"),
        ("a,y\n1,\xff\n", "y", "line 2: it must be in UTF-8"),
    ],
)
def test_a_table_that_can_t_be_learned_is_refused(
    content: str, goal: str, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidInput, match=why):
        learned(path, goal)


def test_a_missing_or_too_large_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.csv can't be read: No such file"):
        learned(tmp_path / "none.csv", "y")
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(read.MAX_BYTES + 1)  # a hole: takes no room
    with pytest.raises(InvalidInput, match="256 MiB; a table may have 256"):
        read.read(path)
    with pytest.raises(InvalidInput, match="2001 columns; a table may have 2000"):
        read._checked("wide.csv", [str(i) for i in range(2001)])
    with pytest.raises(InvalidInput, match="20,000,000 cells"):
        read._bounded("long.csv", 10_000_001, 2)
    with pytest.raises(InvalidInput, match="no numbers"):
        learned(write(tmp_path / "p.csv", people()), "buys", about={"kind": "regression"})


def test_a_metric_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be tuned on 'val_r2'"):
        learned(write(tmp_path / "people.csv", people()), "buys", "val_r2")
    with pytest.raises(InvalidInput, match="cross_entropy or focal"):
        learned(tmp_path / "people.csv", "buys", recipe={"loss": "huber"})


@pytest.mark.parametrize(("goal", "loss"), [("buys", "focal"), ("paid", "huber")])
def test_a_resumed_training_is_equal_to_the_bit(goal: str, loss: str, tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", people())
    recipe = {"loss": loss, "dropout": 0.2, "norm": "batch"}
    whole = learned(path, goal, steps=4, recipe=recipe, folder=tmp_path / "whole")
    asked = iter(range(100))
    first = learned(path, goal, steps=4, recipe=recipe, every=3600, leave=lambda: next(asked) > 7)
    resume = first.checkpoints[-1]
    second = learned(path, goal, steps=4, recipe=recipe, resume=resume, folder=tmp_path / "b")
    assert saved(first)["batch"] > 0
    kept = first.reports[: resume.step]
    assert curve([*kept, *second.reports]) == curve(whole.reports)


def test_a_checkpoint_of_another_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", people())
    first = learned(path, "buys", steps=1)
    assert saved(first)["training"]["table"]["prepared"]["target"]["names"] == ["no", "yes"]
    write(path, people(seed=1))
    with pytest.raises(InvalidInput, match="not of this training"):
        learned(path, "buys", steps=2, resume=first.checkpoints[-1])


def test_a_training_starts_from_another_s_weights(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", people())
    first = learned(path, "buys", steps=10)
    sources = {"start_from": (first.checkpoints[-1].path,)}
    recipe, folder = {"start_from": "a/1"}, tmp_path / "b"
    second = learned(path, "buys", steps=1, folder=folder, recipe=recipe, sources=sources)
    anew = learned(path, "buys", steps=1, folder=folder)
    losses = [trial.reports[0].metrics["train_loss"] for trial in (second, anew)]
    assert losses[0] < 0.7 * losses[1]
