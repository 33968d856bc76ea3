"""From plain Optuna to the service and back: `tuner import`, more trials, `tuner export`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import optuna
import pyarrow.parquet
import pytest
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState

from tests.contract.test_storage_optuna import optuna_storage
from tests.serving import TOKEN, ServerProcess
from tuner import Client


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1.0, log=True)
    if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
        trial.suggest_float("momentum", 0.0, 0.9)
    for step in range(3):
        trial.report(lr / (step + 1), step)
    if trial.number == 1:
        raise optuna.TrialPruned
    if trial.number == 2:
        raise ValueError
    return lr


def past(url: str, name: str, trials: int = 8) -> list[FrozenTrial]:
    """Make a study with plain Optuna: complete trials, a pruned and a failed one."""
    with optuna_storage(url) as storage:
        study = optuna.create_study(storage=storage, study_name=name, sampler=RandomSampler(seed=0))
        study.optimize(objective, n_trials=trials, catch=ValueError)
        return study.trials


def facts(trial: FrozenTrial) -> tuple[object, ...]:
    return (
        trial.number, trial.state, trial.values, trial.params, trial.distributions,
        trial.intermediate_values, trial.datetime_start, trial.datetime_complete,
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'old.db'}"


def test_a_study_of_plain_optuna_goes_on_and_reads_back(
    url: str, source: str, tmp_path: Path
) -> None:
    old = past(source, "mine")
    with ServerProcess(tmp_path, "--db", url) as server:
        told = server.run("import", source, "--study", "mine")
        assert told.stdout.strip().isdecimal()
        assert "adopted 8 trials: 6 complete, 1 pruned, 1 failed" in told.stderr
        with Client(server.url, TOKEN) as client:
            leased = client.study("mine").ask(wait_s=30)
            for step in range(1, 4):
                leased.report(step, 0.00001 / step)
            leased.finish()
        with optuna_storage(url) as storage:
            study = optuna.load_study(study_name="mine", storage=storage)
            *before, last = study.trials
            assert study.best_trial == last
        assert [facts(t) for t in before] == [facts(t) for t in old]
        assert (last.number, last.value) == (8, 0.00001 / 3)
        assert last.intermediate_values == {step: 0.00001 / step for step in (1, 2, 3)}
        assert set(last.params) - {"momentum"} == {"lr", "optimizer"}


def test_tables_hold_what_was_adopted(source: str, tmp_path: Path) -> None:
    old = past(source, "mine")
    with ServerProcess(tmp_path) as server:
        server.run("import", source, "--study", "mine", "--as", "ours")
        server.run("export", "ours", "--format", "csv", "-o", "trials.csv")
        server.run("export", "ours", "--format", "parquet", "--reports", "-o", "reports.parquet")
    with (tmp_path / "trials.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows if row["outcome"] == "complete"] == [
        t.value for t in old if t.state is TrialState.COMPLETE
    ]
    assert [float(row["params.lr"]) for row in rows] == [t.params["lr"] for t in old]
    table = pyarrow.parquet.read_table(tmp_path / "reports.parquet").to_pydict()
    found = list(zip(table["trial"], table["step"], table["value"], strict=True))
    assert found == [
        (t.number, step, value) for t in old for step, value in t.intermediate_values.items()
    ]


def test_a_dry_run_shows_the_document_and_stores_nothing(source: str, tmp_path: Path) -> None:
    past(source, "mine")
    with ServerProcess(tmp_path) as server:
        told = server.run("import", source, "--study", "mine", "--dry-run", "--json")
        space = json.loads(told.stdout)["spec"]["space"]
        assert space["momentum"]["when"] == {"optimizer": ["sgd"]}
        assert "momentum: new trials get it where optimizer is sgd" in told.stderr
        assert server.call("GET", "/studies")["items"] == []


def test_what_is_wrong_is_said_with_what_would_be_right(source: str, tmp_path: Path) -> None:
    past(source, "mine", trials=1)
    past(source, "two\nlines", trials=1)
    past(source, "empty", trials=0)
    with ServerProcess(tmp_path) as server:
        server.run("import", source, "--study", "mine")
        for name, code, message in (
            (
                "mine",
                1,
                "the name 'mine' is taken in the server's database: choose another by --as",
            ),
            ("two\nlines", 1, "character U+000A is not allowed: it does not show; choose another"),
            ("empty", 1, "space: no trial has a parameter yet: give the space by --document FILE"),
            ("mime", 3, "there is no study 'mime' in"),
        ):
            told = server.run("import", source, "--study", name, code=code)
            assert message in told.stderr
            assert "Traceback" not in told.stderr
        space = tmp_path / "space.yaml"
        space.write_text("space: {lr: {min: 0.1, max: 1.0}}\n")
        server.run("import", source, "--study", "two\nlines", "--as", "two")
        server.run("import", source, "--study", "empty", "--document", str(space))
        assert len(server.call("GET", "/studies")["items"]) == 3
