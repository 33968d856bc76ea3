"""The Python of the docs runs word for word against a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import TOKEN, ServerProcess
from tuner import Client

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        monkeypatch.setenv("TUNER_URL", server.url)
        monkeypatch.setenv("TUNER_TOKEN", TOKEN)
        yield server


def test_the_page_on_python(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / "python.md").read_text(), re.M | re.S)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    client, study, best = names["client"], names["study"], names["best"]
    assert study.view.counts["complete"] + study.view.counts["pruned"] == 3
    assert best.number in range(3)
    assert "from step 0" in capsys.readouterr().out
    client.close()


def test_a_study_from_file_to_best(server: ServerProcess, tmp_path: Path) -> None:
    document = tmp_path / "own.yaml"
    document.write_text("objective: {metric: loss}\nbudget: {trials: 1, steps: 3}\nrun: external\n")
    with Client(server.url, TOKEN) as client:
        study = client.submit(document)
        trial = client.ask(study.id)
        decision = trial.report(1, 0.5, metrics={"accuracy": 0.9})
        assert (decision.stop, decision.lr_factor) == (False, 1.0)
        trial.finish(0.25)
        study.wait(timeout=60)
        best = study.best
        assert best is not None
        assert (best.value, best.params) == (0.25, dict(trial.params))
        assert [(p.step, p.lr_factor) for p in best.schedule] == [(0, 1.0)]
        assert [t.value for t in study.trials()] == [0.25]
