"""A table of one's own: from a file and a document through a real worker, and refused elsewhere."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.e2e.worker_process import WorkerProcess
from tests.serving import ServerProcess
from tests.unit.train.tables import people, write
from tuner.spec import parse_yaml

DOCUMENT = """
objective: {metric: val_accuracy, mode: max}
space: {lr: {values: [0.05, 0.1]}}
sampler: {name: grid}
pruner: {name: none}
budget: {trials: 2, steps: 20}
run:
  task: table
  device: cpu
  data: people.csv
  target: buys
  ignore: [paid]
  recipe: {loss: focal}
"""


def test_a_table_is_learned_below_an_allowed_folder_only(
    server: ServerProcess, tmp_path: Path
) -> None:
    allowed = tmp_path / "tables"
    allowed.mkdir()
    write(allowed / "people.csv", people())
    write(tmp_path / "secret.csv", people())
    document = parse_yaml(DOCUMENT)
    study = server.call("POST", "/studies", document)["id"]
    outside = {**document["run"], "data": "../secret.csv"}
    refused = server.call("POST", "/studies", {**document, "run": outside, "name": "refused"})["id"]
    misspelt = {**document, "run": {**document["run"], "target": "Buys"}}
    wrong = server.call("POST", "/studies", misspelt)["id"]
    allow, url, token = [str(allowed)], server.url, server.token
    with WorkerProcess(
        tmp_path, url, token, allow_data=allow, until_idle=0.5, max_quick_failures=0
    ) as worker:
        assert worker.wait() == 0, worker.log
    view = server.call("GET", f"/studies/{study}")
    assert (view["state"], view["counts"]["complete"]) == ("finished", 2), worker.log
    assert view["best"]["value"] > 0.8
    trial = server.call("GET", f"/studies/{wrong}/trials/0")
    assert trial["reason"].startswith("the table has no column 'Buys'; it has income, town, height")
    assert "Traceback" not in str(trial)
    _predicts(server, study, tmp_path)
    not_one = server.run("predict", "refused", "--data", str(allowed / "people.csv"), code=3)
    assert not_one.stderr == "error: no trial of refused has a value yet\n"
    trial = server.call("GET", f"/studies/{refused}/trials/0")
    assert trial["outcome"] == "failed"
    assert "in the folders that this worker lets studies read" in str(trial)


def _predicts(server: ServerProcess, study: int, folder: Path) -> None:
    """Predict rows of another file by the best trial's network, without the first file."""
    new, out = write(folder / "new.csv", people(seed=1)), folder / "predictions.csv"
    ran = server.run("predict", str(study), "--data", str(new), "--out", str(out))
    first, second, last = ran.stderr.splitlines()
    assert "val_accuracy 0." in first
    known = re.fullmatch(r"buys is known in 400 rows: accuracy (.*), balanced accuracy .*", second)
    assert known is not None, second
    assert last == f"{out}: 400 rows"
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    right = sum(row["predicted_buys"] == row["buys"] for row in rows) / 400
    assert right == pytest.approx(float(known[1]), abs=1e-3)
    assert right > 0.8
    printed = server.run("predict", str(study), "--data", str(new), "--trial", "0").stdout
    assert len(printed.splitlines()) == 401
