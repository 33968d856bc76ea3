"""What a trial keeps of its best epoch predicts as it did when it was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.train.tables import Columns, learned, people, write
from tuner.decision import Action, Decision, Outcome
from tuner.errors import InvalidInput, TunerError
from tuner.train import state
from tuner.train.best import MODEL
from tuner.train.local import LocalReport, LocalTrial
from tuner.train.table import prepare, read, target
from tuner.train.table.predict import Model
from tuner.train.table.predict import write as write_predictions

HARD: dict[str, Any] = {"norm": "batch", "average": 0.9, "standardise": True, "log1p": True}


def model(trial: LocalTrial) -> Model:
    return Model.load(trial.artifacts[MODEL])


def part(table: read.Table, rows: Sequence[int]) -> read.Table:
    cells = {name: [column[row] for row in rows] for name, column in table.columns.items()}
    return read.Table(columns=cells, digest="")


def held_out(table: read.Table, goal: str) -> read.Table:
    """Return the validation rows."""
    cells = [cell or "" for cell in table.columns[goal]]
    _, val, _ = prepare.split(target.strata(cells, target.kind_of(goal, cells, None)), 0)
    return part(table, val.tolist())


@pytest.mark.parametrize("recipe", [{}, HARD], ids=["plain", "with all that changes inputs"])
@pytest.mark.parametrize(("goal", "metric"), [("buys", "val_accuracy"), ("paid", "val_rmse")])
def test_the_validation_rows_are_predicted_as_they_were(
    goal: str, metric: str, recipe: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "people.csv", people())
    trial = learned(path, goal, metric, steps=10, recipe=recipe, params={"lr": 0.3})
    sign = -1 if metric == "val_accuracy" else 1
    best = min(trial.reports, key=lambda report: sign * report.value)
    found = model(trial)
    assert (found.step, found.metrics[metric]) == (best.step, best.value)
    rows = held_out(read.read(path), goal)
    count, measured = found.measured(rows, found.predict(rows))
    assert count == 80
    for name, value in measured.items():
        assert value == pytest.approx(best.metrics[f"val_{name}"], rel=1e-4), name


def test_the_best_epoch_survives_an_interruption(tmp_path: Path) -> None:
    path = write(tmp_path / "people.csv", people())
    args: dict[str, Any] = {"metric": "val_loss", "steps": 12, "params": {"lr": 3.0}}
    whole = learned(path, "buys", folder=tmp_path / "whole", **args)
    best = model(whole).step
    assert best < 11, "the training must have its best epoch before it is interrupted"
    asked = iter(range(1000))
    polls = 5 * 11  # batches of an epoch and the poll after its report
    first = learned(
        path, "buys", folder=tmp_path / "a", leave=lambda: next(asked) > polls, every=3600, **args
    )
    assert not first.artifacts
    left = first.checkpoints[-1]
    assert best < left.step < 12
    second = learned(path, "buys", resume=left, folder=tmp_path / "b", **args)
    rows = read.read(path)
    one, other = (model(trial).predict(rows).probabilities for trial in (whole, second))
    assert one is not None
    assert other is not None
    assert np.array_equal(one, other)
    assert model(second).step == best


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [(Outcome.PRUNED, False), (Outcome.DIVERGED, False), (Outcome.CONVERGED, True)],
)
def test_a_trial_that_is_stopped_keeps_its_network_if_it_has_a_value(
    outcome: Outcome, kept: bool, tmp_path: Path
) -> None:
    def decide(reports: Sequence[LocalReport]) -> Decision:
        stop = len(reports) == 2
        return Decision(action=Action.STOP if stop else Action.CONTINUE, outcome=outcome)

    trial = learned(write(tmp_path / "people.csv", people()), "buys", decide=decide)
    assert len(trial.reports) == 2
    assert (MODEL in trial.artifacts) is kept


class _Full(LocalTrial):
    def artifact(self, path: Path, name: str | None = None) -> None:
        raise TunerError("the store is full")


def test_a_network_that_can_t_be_kept_fails_no_trial(tmp_path: Path) -> None:
    from tuner.train import run

    path = write(tmp_path / "people.csv", people())
    trial = _Full(params={}, steps=1)
    table = {"data": str(path), "target": "buys"}
    run(trial, "table", {"device": "cpu"}, folder=tmp_path, table=table)
    assert trial.lines[-1] == "model.safetensors was not kept: the store is full"


def new_rows() -> Columns:
    return {
        "seen": ["2025-01-01", "soon", None],
        "town": ["Bonn", "Oslo", "Lima"],
        "height": ["170", "tall", ""],
        "income": ["1e90", "900", "-5"],
        "name": ["Ada, B.", "Søren", "Łukasz"],
        "predicted_buys": ["1", "2", "3"],
    }


def test_rows_of_another_file_are_predicted_beside_their_own_columns(tmp_path: Path) -> None:
    trial = learned(write(tmp_path / "people.csv", people()), "buys", about={"ignore": ["paid"]})
    found = model(trial)
    table = read.read(write(tmp_path / "new rows.csv", new_rows()))
    assert list(found.remarks(table)) == [
        "town: words that training did not have in 1 of 3 cells",
        "height: no number in 1 of 3 cells",
        "seen: no date in 1 of 3 cells",
    ]
    predictions = found.predict(table)
    assert found.measured(table, predictions) == (0, {})
    text = io.StringIO()
    write_predictions(text, table, found.target, predictions)
    header, *lines = csv.reader(io.StringIO(text.getvalue()))
    assert header == [*new_rows(), "predicted_buys_", "probability_no", "probability_yes"]
    assert [line[4] for line in lines] == new_rows()["name"]
    for line in lines:
        no, yes = map(float, line[-2:])
        assert no + yes == pytest.approx(1, abs=1e-5)
        assert line[-3] == ("yes" if yes > no else "no")


def test_a_class_that_training_did_not_have_is_not_measured(tmp_path: Path) -> None:
    found = model(learned(write(tmp_path / "people.csv", people()), "buys"))
    rows = people()
    rows["buys"] = ["perhaps", None, *rows["buys"][2:]]
    table = read.read(write(tmp_path / "more.csv", {k: v[:50] for k, v in rows.items()}))
    count, _ = found.measured(table, found.predict(table))
    assert count == 48


def test_what_is_no_model_or_no_table_for_it_is_refused(tmp_path: Path) -> None:
    trial = learned(write(tmp_path / "people.csv", people()), "buys")
    rows = people()
    del rows["town"], rows["height"]
    with pytest.raises(InvalidInput, match="no column 'town', 'height'; it has income, seen"):
        model(trial).predict(read.read(write(tmp_path / "less.csv", rows)))
    with pytest.raises(InvalidInput, match=r"step-8\.safetensors is no model of a table"):
        Model.load(trial.checkpoints[-1].path)
    with pytest.raises(InvalidInput, match=r"people\.csv"):
        Model.load(tmp_path / "people.csv")
    tree = state.load(trial.artifacts[MODEL])
    for spoil in ({"kind": "oracle"}, {"kind": "numeric"}, {}):
        tree["training"]["table"]["prepared"]["columns"][0] = spoil
        state.save(tmp_path / "odd.safetensors", tree)
        with pytest.raises(InvalidInput, match="no model of a table"):
            Model.load(tmp_path / "odd.safetensors")
