"""What follows a search: ensembles, the data doctor, disagreement, neighbours."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tuner.decision import Action, Decision
from tuner.errors import InvalidInput
from tuner.spec import AfterRun
from tuner.train import run, tasks
from tuner.train.after import doctor, ensemble, members, neighbours
from tuner.train.local import LocalTrial
from tuner.train.options import Options

HALF = [{"step": 2, "lr_factor": 0.5}]


def member(trial: int = 0, **changes: Any) -> dict[str, Any]:
    params = {"lr": 0.1, "batch_size": 128}
    return {"trial": trial, "params": params, "seed": 3 + trial, "until": 3} | changes


class Kept(LocalTrial):
    """Reads artifacts at once, as a worker copies them."""

    def __init__(self, **given: Any) -> None:
        super().__init__(params={}, **given)
        self.files: dict[str, str] = {}

    def artifact(self, path: Path, name: str | None = None) -> None:
        self.files[name or path.name] = path.read_text(encoding="utf-8")


def followed(kind: str, *, task: str = "digits-mlp", metric: str = "val_loss", **more: Any) -> Kept:
    leave = more.pop("leave", lambda: False)
    trial = Kept(leave=leave)
    after = {"of": 1, "kind": kind, "steps": 4, "members": [member()]} | more
    run(trial, task, {"device": "cpu", "after": after}, metric=metric)
    return trial


def trainer(**changes: Any) -> members.Trainer:
    document: dict[str, Any] = {"of": 1, "kind": "data_doctor", "steps": 10, "members": [member()]}
    after = AfterRun.model_validate(document | changes)
    return members.Trainer.of(
        LocalTrial(params={}),
        tasks.get("digits-mlp"),
        after,
        Options(device="cpu"),
        recipe={},
        sources={},
    )


def test_a_member_is_the_trial_again_up_to_its_value() -> None:
    def halved(reports: Any) -> Decision:
        return Decision(action=Action.CONTINUE, lr_factor=0.5 if len(reports) >= 2 else 1.0)

    trial = LocalTrial(params=member()["params"], seed=3, steps=4, decide=halved)
    run(trial, "digits-mlp", {"device": "cpu"})
    again = followed("ensemble", members=[member(levels=HALF)])
    assert again.reports[0].value == trial.reports[2].value
    other = followed("ensemble", members=[member()])
    assert other.reports[0].value != trial.reports[2].value


def test_an_ensembles_value_is_that_of_the_mean_probabilities() -> None:
    trial = followed("ensemble", members=[member(0), member(1)])
    made = trainer()
    fitted = [
        made.fit(
            AfterRun.model_validate(
                {"of": 1, "kind": "ensemble", "steps": 4, "members": [member(n)]}
            ).members[0]
        )
        for n in range(2)
    ]
    split = tasks.get("digits-mlp").data().val
    assert all(fitted)
    probabilities = sum(e.predict(split.x).softmax(1) for e in fitted if e) / 2
    assert isinstance(probabilities, torch.Tensor)
    expected = -probabilities[torch.arange(len(split)), split.y].log().mean()
    last = trial.reports[-1]
    assert last.value == pytest.approx(float(expected), abs=1e-6)
    alone = [followed("ensemble", members=[member(n)]).reports[0].value for n in range(2)]
    assert last.metrics["best_member"] == min(alone)
    assert last.metrics["gain"] == pytest.approx(min(alone) - last.value)
    assert last.metrics["best_trial"] == alone.index(min(alone))
    assert trial.reports[0].metrics["gain"] == 0.0


def test_an_ensemble_of_numbers_averages_them() -> None:
    trial = followed("ensemble", task="adding-lstm", members=[member(0, until=1)])
    assert math.isfinite(trial.reports[0].value)
    assert not trial.files
    two = [torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])]
    assert members.averaged(two, logits=False).tolist() == [2.0, 2.0]


def test_snapshots_are_one_training_at_the_ends_of_its_cycles() -> None:
    params = {"lr": 0.1, "batch_size": 128}
    recipe = {"schedule": "cyclic", "cycle": 2, "cycle_growth": 1}
    plain = LocalTrial(params=params, seed=3, steps=4)
    run(plain, "digits-mlp", {"device": "cpu"}, recipe=recipe)
    trial = followed("ensemble", members=[member(levels=HALF)], snapshots=2)
    assert [r.step for r in trial.reports] == [1, 2]
    # alone they are that training's values at the end of each cycle, whatever cuts the trial had
    assert trial.reports[0].value == pytest.approx(plain.reports[1].value, abs=1e-6)
    ends = [plain.reports[1].value, plain.reports[3].value]
    assert trial.reports[1].metrics["best_member"] == pytest.approx(min(ends), abs=1e-6)
    assert trial.reports[1].value != pytest.approx(ends[1], abs=1e-6)
    assert trial.reports[1].metrics["members"] == 2.0


def test_an_ensemble_of_symbols_averages_their_probabilities() -> None:
    trial = followed("ensemble", task="text-lstm", members=[member(0, until=1), member(1, until=1)])
    alone = [
        followed("ensemble", task="text-lstm", members=[member(n, until=1)]).reports[0].value
        for n in range(2)
    ]
    # the mean of probabilities is never worse than the members' mean loss (Jensen)
    assert trial.reports[1].value <= sum(alone) / 2
    logits = [torch.tensor([[[0.0], [0.0]]]), torch.tensor([[[0.0], [math.log(3.0)]]])]
    mean = members.averaged(logits, logits=True).softmax(1).flatten()
    assert mean.tolist() == pytest.approx([(0.5 + 0.25) / 2, (0.5 + 0.75) / 2])


def test_an_ensemble_is_measured_by_its_tasks_own_metrics() -> None:
    trial = followed("ensemble", task="digits-rare", metric="val_rare_f1")
    found = trial.reports[0].metrics
    assert trial.reports[0].value == found["val_rare_f1"] == found["best_member"]
    assert {"test_gain", "test_rare_f1", "val_rare_recall"} <= found.keys()


def test_the_doctor_names_rows_and_labels_of_a_table(tmp_path: Path) -> None:
    lines = ["word,number,kind"]
    for n in range(300):
        kind = "high" if n % 7 > 3 else "low"
        lines.append(f"w{n % 7},{n % 7},{kind}")
    wrong = [20, 100, 200]  # rows from 1
    for place in wrong:
        lines[place] = lines[place].replace("high", "?").replace("low", "high").replace("?", "low")
    file = tmp_path / "kinds.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    trial = Kept()
    one = member(until=8, params={"lr": 0.1, "batch_size": 16})
    after = {"of": 1, "kind": "data_doctor", "steps": 8, "members": [one], "folds": 4}
    table = {"data": str(file), "target": "kind"}
    run(trial, "table", {"device": "cpu", "after": after | {"networks": 1}}, table=table)
    rows = list(csv.DictReader(trial.files["doubted_labels.csv"].splitlines()))
    there = {int(row["file_row"]): row for row in rows}
    assert set(there) <= set(wrong)
    assert len(there) >= 1  # those that the split put into training
    for number, row in there.items():
        assert row["label"] == lines[number].rpartition(",")[2] != row["suggested"]


def test_rows_without_a_target_are_listed_by_what_a_label_would_tell(tmp_path: Path) -> None:
    lines = ["number,kind"]
    for n in range(200):
        lines.append(f"{n % 20},{'high' if n % 20 > 9 else 'low'}")
    # the networks know 0 and 19, and differ on where between 9 and 10 the line is
    lines += ["0,", "9.5,", "19,", "9.4,"]
    file = tmp_path / "kinds.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    trial = Kept()
    params = {"lr": 0.1, "batch_size": 16}
    networks = [member(n, until=8, params=params) for n in range(3)]
    after = {"of": 1, "kind": "ensemble", "steps": 8, "members": networks}
    table = {"data": str(file), "target": "kind"}
    run(trial, "table", {"device": "cpu", "after": after}, table=table)
    rows = list(csv.DictReader(trial.files["worth_labelling.csv"].splitlines()))
    assert [int(row["file_row"]) for row in rows[:2]] in ([202, 204], [204, 202])
    assert {int(row["file_row"]) for row in rows} == {201, 202, 203, 204}
    said = {int(row["file_row"]): set(row["votes"].split()) for row in rows}
    assert (said[201], said[203]) == ({"low"}, {"high"})
    # what is measured is the test rows alone
    assert len(trial.files["disagreement.csv"].splitlines()) == 1 + 40
    again = Kept()
    file.write_text("\n".join(lines[:201]), encoding="utf-8")
    run(again, "table", {"device": "cpu", "after": after}, table=table)
    assert again.reports[-1].metrics == trial.reports[-1].metrics
    assert "worth_labelling.csv" not in again.files


def test_gain_is_positive_where_larger_is_better() -> None:
    gained = ensemble.gained(
        {"val_accuracy": 0.9, "test_accuracy": 0.7},
        {"val_accuracy": 0.8, "test_accuracy": 0.75},
        "val_accuracy",
        -1.0,
    )
    assert gained == {
        "best_member": 0.8, "gain": pytest.approx(0.1), "test_gain": pytest.approx(-0.05)
    }  # fmt: skip


def test_a_trial_that_is_asked_to_leave_reports_nothing_more() -> None:
    assert followed("ensemble", leave=lambda: True).reports == []
    assert followed("data_doctor", leave=lambda: True).reports == []
    assert followed("neighbours", leave=lambda: True).reports == []


def test_members_disagree_where_each_is_sure_of_something_else() -> None:
    sure_of_0, sure_of_1, unsure = [20.0, 0.0], [0.0, 20.0], [0.0, 0.0]
    one = torch.tensor([sure_of_0, sure_of_0, unsure])
    two = torch.tensor([sure_of_1, sure_of_0, unsure])
    found = ensemble.disagreement([one, two]).tolist()
    assert found == pytest.approx([math.log(2), 0.0, 0.0], abs=1e-5)
    assert ensemble.most_disputed([one, two], 2).tolist()[0] == 0


def test_an_ensemble_lists_what_its_members_dispute() -> None:
    trial = followed("ensemble", members=[member(0), member(1)])
    rows = list(csv.DictReader(trial.files["disagreement.csv"].splitlines()))
    amounts = [float(row["disagreement_nats"]) for row in rows]
    assert len(rows) == 200
    assert amounts == sorted(amounts, reverse=True)
    assert amounts[0] > 0


def test_flags_are_sure_contradictions() -> None:
    probabilities = torch.tensor(
        [
            [0.9, 0.1],  # labelled 0, and so it is
            [0.8, 0.2],  # labelled 0, and so it is
            [0.1, 0.9],  # labelled 0: contradicted
            [0.2, 0.8],  # labelled 1
            [0.45, 0.55],  # labelled 0: nothing is sure
        ]
    )
    (flag,) = doctor.flags(probabilities, torch.tensor([0, 0, 0, 1, 0]))
    assert flag[:3] == (2, 0, 1)
    assert [flag.probability, flag.own] == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize(
    ("flagged", "wrong", "expected"),
    [
        ({1, 2}, {2, 3, 4}, (0.5, 1 / 3)),
        (set(), {1}, (0.0, 0.0)),  # nothing is flagged
        ({1}, set(), (0.0, 0.0)),  # nothing is wrong
    ],
)
def test_precision_and_recall(
    flagged: set[int], wrong: set[int], expected: tuple[float, float]
) -> None:
    assert doctor.precision_recall(flagged, wrong) == expected


def test_the_doctor_finds_planted_label_errors() -> None:
    made = trainer(folds=3, networks=1, members=[member(until=10)])
    clean = tasks.get("digits-mlp").data()
    changed, wrong = doctor.planted(clean, 0.05, 10, seed=1)
    assert len(wrong) == 54
    assert {r for r in range(1078) if changed.train.y[r] != clean.train.y[r]} == wrong
    *_, (rows, logits) = doctor.judged(made, changed)
    assert sorted(rows.tolist()) == list(range(1078))
    found = doctor.flags(logits.softmax(-1), changed.train.y[rows])
    precision, recall = doctor.precision_recall({int(rows[f.row]) for f in found}, wrong)
    assert precision > 0.6
    assert recall > 0.7
    hits = [f for f in found if int(rows[f.row]) in wrong]
    mended = sum(f.suggested == int(clean.train.y[rows[f.row]]) for f in hits)
    assert mended > 0.9 * len(hits)


def test_the_doctor_keeps_a_list_of_rows() -> None:
    trial = followed("data_doctor", folds=2, networks=1)
    assert [r.step for r in trial.reports] == [1, 2]
    assert [r.metrics["rows"] for r in trial.reports] == [539, 1078]
    rows = list(csv.DictReader(trial.files["doubted_labels.csv"].splitlines()))
    assert len(rows) == trial.reports[-1].metrics["flagged"] > 0
    labels = tasks.get("digits-mlp").data().train.y
    assert all(int(labels[int(r["training_row"])]) == int(r["label"]) for r in rows)


def test_neighbours_decide_where_the_network_is_unsure() -> None:
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3]])
    rows = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    known = torch.tensor([[0.0, 2.0], [0.1, 1.0], [1.0, 0.0], [-1.0, 0.0]])
    found = neighbours.fallback(
        probabilities, rows, known, torch.tensor([2, 2, 0, 0]), neighbours=2, below=0.5
    )
    assert found[0].tolist() == probabilities[0].tolist()
    assert found[1].tolist() == pytest.approx([0.0, 0.0, 1.0])


def test_rare_classes_and_their_recall() -> None:
    labels = torch.tensor([0] * 10 + [1] * 10 + [2] * 2)
    rare = neighbours.rare_classes(labels)
    assert rare.tolist() == [2]
    scores = torch.eye(3)[torch.tensor([0] * 21 + [2])]
    assert neighbours.recalls(scores, labels, rare) == 0.5
    assert neighbours.recalls(scores, labels, torch.tensor([], dtype=torch.int64)) == 0.0


def test_the_fallback_reports_both_and_its_gain() -> None:
    trial = followed("neighbours", metric="val_accuracy", below=1.0, neighbours=3)
    (report,) = trial.reports
    found: Mapping[str, float] = report.metrics
    assert report.value == found["val_accuracy"] > 0.8
    assert found["gain"] == pytest.approx(found["val_accuracy"] - found["network_accuracy"])
    assert found["unsure"] > 0.9
    assert "rare_recall" not in found


def test_neighbours_find_a_rare_class_that_the_network_misses() -> None:
    one = member(params={"lr": 0.02, "batch_size": 128}, seed=0, until=12)
    trial = followed(
        "neighbours", task="digits-rare", steps=18, members=[one], below=0.9, neighbours=3
    )
    found = trial.reports[0].metrics
    assert found["network_rare_recall"] < 0.1
    assert found["rare_recall"] > found["network_rare_recall"] + 0.2
    assert found["gain"] > 0.02
    missed = followed(
        "neighbours", task="digits-rare", members=[one | {"until": 1}], below=0.5
    )  # a recall of 0 is told, too
    assert missed.reports[0].metrics["rare_recall"] == 0.0


@pytest.mark.parametrize("kind", ["data_doctor", "neighbours"])
def test_numbers_have_no_labels(kind: str) -> None:
    with pytest.raises(InvalidInput, match="predicts numbers"):
        followed(kind, task="adding-lstm")


def test_levels_hold_from_their_step_on() -> None:
    one = AfterRun.model_validate(
        {"of": 1, "kind": "ensemble", "steps": 4, "members": [member(levels=HALF)]}
    ).members[0]
    assert [members.level(one, step) for step in (0, 1, 2, 3)] == [1.0, 1.0, 0.5, 0.5]
