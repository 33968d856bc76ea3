"""The command line before and around its commands: words read, completion, a light start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.fake_http import listening
from tests.unit.fakes import FakeServer, study_view
from tuner.cli.control import assignment, nested
from tuner.cli.nodes import read_labels, with_idle_seconds


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("lr=1e-4", ("lr", 1e-4)),
        ("n=3", ("n", 3)),
        ("on=true", ("on", True)),
        ("word=no", ("word", "no")),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test_assignment(text: str, read: tuple[str, object]) -> None:
    assert assignment(text) == read


def test_nested() -> None:
    assert nested(["a.b=1", "a.c=x", "d=2"]) == {"a": {"b": 1, "c": "x"}, "d": 2}


def test_labels() -> None:
    assert read_labels(["gpu=a100,zone=b", "x=y"]) == {"gpu": "a100", "zone": "b", "x": "y"}


@pytest.mark.parametrize(
    ("args", "full"),
    [
        (["--until-idle"], ["--until-idle", "10"]),
        (["--until-idle", "--slots", "2"], ["--until-idle", "10", "--slots", "2"]),
        (["--until-idle", "3.5"], ["--until-idle", "3.5"]),
        (["--until-idle=3"], ["--until-idle=3"]),
        ([], []),
    ],
)
def test_until_idle_needs_no_number(args: list[str], full: list[str]) -> None:
    assert with_idle_seconds(args) == full


def spawn(args: Sequence[str], **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tuner", *args],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_without_a_server() -> None:
    ran = spawn(["ls"], TUNER_URL="http://127.0.0.1:9", TUNER_TOKEN="t")
    assert (ran.returncode, ran.stdout) == (5, "")
    assert ran.stderr.count("\n") == 1
    assert "tuner serve" in ran.stderr


def test_completion_offers_studies(tmp_path: Path) -> None:
    server = FakeServer()
    items = [study_view(name=n).model_dump(mode="json") for n in ("digits-1", "digits-2", "other")]
    server.on("GET", "/studies", {"items": items})
    with listening(server) as url:
        ran = spawn(
            [],
            _TUNER_COMPLETE="complete_bash",
            COMP_WORDS="tuner show digits",
            COMP_CWORD="2",
            TUNER_URL=url,
            TUNER_TOKEN="secret-token",
            TUNER_HOME=str(tmp_path),
        )
    assert ran.stdout.split() == ["digits-1", "digits-2"]


def test_completion_is_silent_without_a_server() -> None:
    ran = spawn(
        [],
        _TUNER_COMPLETE="complete_bash",
        COMP_WORDS="tuner show d",
        COMP_CWORD="2",
        TUNER_URL="http://127.0.0.1:9",
    )
    assert (ran.stdout.strip(), ran.stderr) == ("", "")


def test_the_command_line_starts_light() -> None:
    code = "import sys, tuner.cli.app; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"httpx", "pydantic", "rich", "torch", "fastapi"} & set(ran.stdout.split())
