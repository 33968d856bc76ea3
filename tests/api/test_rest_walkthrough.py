"""docs/rest.md runs word for word against a real server, and its table lists every route."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.api.in_process import API, mounted
from tests.serving import ROOT, ServerProcess

PAGE = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
SERVE = "tuner serve\n"
DOCUMENTED = "http://127.0.0.1:8700"


def test_the_walk_works_word_for_word(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    assert blocks.pop(0) == SERVE
    assert len(blocks) > 10
    with ServerProcess(tmp_path, token=None) as server:
        script = "set -euo pipefail\n" + "\necho\n".join(blocks).replace(DOCUMENTED, server.url)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "TUNER_HOME": str(tmp_path), "NO_PROXY": "*"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"lr_factor":0.5' in done.stdout
        _check_outcome(server.url, server.token)
    assert "rate_schedule" in (tmp_path / "best.yaml").read_text()


def _check_outcome(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url + API, headers=headers) as http:
        studies = {s["name"]: s for s in http.get("/studies").json()["items"]}
        assert set(studies) == {"walk", "walk-wide", "external-1"}
        walk = studies["walk"]
        assert walk["spec"]["budget"]["trials"] == 10
        assert walk["spec"]["queue"]["priority"] == 50
        assert walk["best"]["value"] == 0.7
        assert walk["best"]["schedule"] == [
            {"step": 0, "lr_factor": 1.0},
            {"step": 2, "lr_factor": 0.5},
        ]
        assert studies["walk-wide"]["spec"]["space"]["width"]["values"] == [256, 512]
        replay = http.get("/studies/external-1/trials").json()["items"]
        assert all(t["params"] == walk["best"]["params"] for t in replay)


def test_every_route_is_listed() -> None:
    listed = re.findall(r"^\| `([A-Z]+) (/\S+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(mounted())


@pytest.mark.parametrize("page", re.findall(r"\]\(([a-z]+\.md)\)", PAGE))
def test_links_lead_somewhere(page: str) -> None:
    assert (ROOT / "docs" / page).exists()
