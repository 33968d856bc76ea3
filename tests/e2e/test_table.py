"""A table of one's own: from a file and a document through a real worker, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    folder = tmp_path / "server"
    folder.mkdir()
    with ServerProcess(folder) as process:
        yield process


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
    refused = server.call("POST", "/studies", {**document, "run": outside})["id"]
    allow, url, token = [str(allowed)], server.url, server.token
    with WorkerProcess(
        tmp_path, url, token, allow_data=allow, until_idle=0.5, max_quick_failures=0
    ) as worker:
        assert worker.wait() == 0, worker.log
    view = server.call("GET", f"/studies/{study}")
    assert (view["state"], view["counts"]["complete"]) == ("finished", 2), worker.log
    assert view["best"]["value"] > 0.8
    trial = server.call("GET", f"/studies/{refused}/trials/0")
    assert trial["outcome"] == "failed"
    assert "in the folders that this worker lets studies read" in str(trial)
