"""`tuner demo`, shortened: it serves, trains, sums up, and leaves nothing running."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import optuna
import pytest

from tests.serving import PROGRAM, environment

COMMAND = [*PROGRAM, "demo", "--trials", "8"]


def left_behind(folder: Path) -> list[str]:
    """Return the processes that were started with a folder of this test's own."""
    mark = f"TMPDIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().decode().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.timeout(600)
def test_the_demo(tmp_path: Path) -> None:
    ran = subprocess.run(
        COMMAND,
        env=environment(tmp_path / "home", TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^Best trial: \d+ ", ran.stdout, re.M)
    assert re.search(r"test accuracy \d\d\.\d\d%", ran.stdout)
    assert re.search(r"^  schedule  \S+ from the start", ran.stdout, re.M)
    assert re.search(r"^\d trials? pruned", ran.stdout, re.M)
    assert re.search(r"^\d+ cuts? of the rate in ", ran.stdout, re.M)
    assert re.search(r"^\d+ epochs trained, \d+ saved", ran.stdout, re.M)
    assert "Best rule of thumb: " in ran.stdout
    url = re.search(r"tuner serve --db (sqlite:///\S+)", ran.stderr)
    assert url is not None
    assert optuna.get_all_study_names(url[1]) == ["digits-mlp"]
    assert left_behind(tmp_path) == []


def test_ctrl_c_stops_what_was_started(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND,
        env=environment(tmp_path / "home", TMPDIR=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith("Submitted"):
        assert process.poll() is None
    assert left_behind(tmp_path) != []
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert left_behind(tmp_path) == []
