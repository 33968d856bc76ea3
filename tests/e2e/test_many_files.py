"""A server makes room for its connections among the files that it may open."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from tests.serving import ServerProcess


@pytest.mark.parametrize(
    ("limit", "files", "told"),
    [
        ("-Sn 300", 4256, None),
        ("-n 300", 300, "this process may open 300 files: it takes 44 connections, not 4000"),
    ],
)
def test_a_server_may_open_a_file_for_each_connection(
    tmp_path: Path, limit: str, files: int, told: str | None
) -> None:
    program = ("bash", "-c", f'ulimit {limit}; exec {sys.executable} -m tuner "$@"', "tuner")
    with ServerProcess(tmp_path, program=program) as server:
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert soft == files <= hard
        assert told is None or told in server.log
