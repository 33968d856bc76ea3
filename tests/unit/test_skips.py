"""In CI a skipped test is a failure unless it needs a GPU, with and without xdist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest

def test_skips_itself():
    pytest.skip("no such thing here")

@pytest.mark.skip(reason="no such thing here")
def test_skipped_by_mark():
    pass

@pytest.fixture
def thing():
    pytest.skip("no such thing here")

def test_skipped_by_fixture(thing):
    pass

@pytest.mark.gpu
def test_needs_a_gpu():
    pytest.skip("no such thing here")

@pytest.mark.xfail(reason="known")
def test_known_to_fail():
    assert False

def test_right():
    pass
"""
SKIPPING = ("test_skips_itself", "test_skipped_by_mark", "test_skipped_by_fixture")
MODULE_SKIP = "import pytest; pytest.importorskip('no_such_thing_here')"


def _run(folder: Path, source: str, ci: str | None, workers: int) -> tuple[int, str]:
    """Run one test file in a pytest of its own; return its exit status and output."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: needs a CUDA device\n")
    (folder / "test_it.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment |= {} if ci is None else {"CI": ci}
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "tests.skips", "-p", "xdist"]
    command += ["-n", str(workers)]
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_a_skip_fails_in_ci_and_says_why(tmp_path: Path, workers: int) -> None:
    status, output = _run(tmp_path, SUITE, "true", workers)
    assert status == 1, output
    for name in SKIPPING:
        assert any(
            line.startswith(("FAILED", "ERROR")) and name in line for line in output.splitlines()
        ), output
    assert output.count("skipped, which is a failure in CI: Skipped: no such thing here") >= 3
    summary = output.splitlines()[-1]
    assert "1 passed, 1 skipped, 1 xfailed" in summary, output


@pytest.mark.parametrize("workers", [0, 1])
def test_a_module_that_skips_itself_fails_in_ci(tmp_path: Path, workers: int) -> None:
    status, output = _run(tmp_path, MODULE_SKIP, "true", workers)
    assert status not in (0, 5), output
    assert "skipped, which is a failure in CI" in output


@pytest.mark.parametrize("ci", [None, "false"])
def test_a_skip_is_a_skip_elsewhere(tmp_path: Path, ci: str | None) -> None:
    status, output = _run(tmp_path, SUITE, ci, 0)
    assert status == 0, output
    assert "1 passed, 4 skipped, 1 xfailed" in output
