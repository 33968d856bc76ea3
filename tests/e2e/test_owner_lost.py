"""A server whose database another one took over writes nothing more, says so, and ends."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from tests.serving import ServerProcess

STUDY = {"name": "before", "objective": {"metric": "loss"}, "run": "external"}
TAKE_OVER = "UPDATE tuner_owner SET epoch = epoch + 1, name = 'another server'"
ENDS_S = 60.0


def test_server_ends_when_its_database_is_taken_over(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", STUDY)
        with closing(sqlite3.connect(tmp_path / "tuner.db")) as db, db:
            db.execute(TAKE_OVER)
        refused = httpx.post(
            f"{server.url}/api/v1/studies",
            json={**STUDY, "name": "after"},
            headers={"Authorization": f"Bearer {server.token}"},
            trust_env=False,
        )
        assert refused.status_code >= 500
        deadline = time.monotonic() + ENDS_S
        while not (ended := re.search(r"^error: .*took over", server.log, re.MULTILINE)):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.05)
        assert "another server" in ended.group()
        assert server.wait() == 1
    with closing(sqlite3.connect(tmp_path / "tuner.db")) as db:
        assert db.execute("SELECT study_name FROM studies").fetchall() == [("before",)]
