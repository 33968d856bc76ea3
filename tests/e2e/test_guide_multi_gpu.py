"""The guide's code trains in two processes, word for word, with a real server and a real worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.e2e.worker_process import WorkerProcess
from tests.serving import ServerProcess

GUIDE = Path(__file__).parents[2] / "docs/guides/multi-gpu.md"


def test_the_guides_training(tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    (document,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE.read_text(), re.M | re.S)
    work, home = tmp_path / "work", tmp_path / "server"
    work.mkdir()
    home.mkdir()
    (work / "train.py").write_text(code)
    with ServerProcess(home) as server:
        study = server.call("POST", "/studies", YAML(typ="safe", pure=True).load(document))["id"]
        config: dict[str, Any] = {"allow": ["train:*"], "until_idle": 1.0}
        with WorkerProcess(work, server.url, server.token, **config) as worker:
            assert worker.wait(240) == 0
        view = server.call("GET", f"/studies/{study}")
        assert view["state"] == "finished"
        trials = server.call("GET", f"/studies/{study}/trials")["items"]
        assert {trial["outcome"] for trial in trials} <= {"complete", "pruned"}
        assert len(trials) == 2
        reports = server.call("GET", f"/studies/{study}/trials/{view['best']['number']}")["reports"]
        assert [report["step"] for report in reports] == [1, 2, 3, 4, 5]
