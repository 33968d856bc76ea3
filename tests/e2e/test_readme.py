"""The README's commands work word for word, but for the port; `make demo` is tested elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.serving import ROOT, ServerProcess, completed

README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PORT = "127.0.0.1:8700"
END_S = 240.0


@contextmanager
def worker(command: str, server: ServerProcess) -> Iterator[None]:
    """Run the README's worker in the background, from the project's folder."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=ROOT,
        env=dict(server.env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(END_S) == 0


def shell(text: str, server: ServerProcess) -> str:
    """Run commands as a reader would, and return what they print."""
    script = "set -euo pipefail\n" + text.replace(PORT, server.url.removeprefix("http://"))
    done = completed(["bash", "-c", script], ROOT, server.env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":4' not in done.stdout, done.stdout
    return done.stdout


def test_the_walk_through_works_word_for_word(tmp_path: Path) -> None:
    demo, serve, work, submit, take = SHELL
    assert demo == "make demo\n"
    assert serve == ".venv/bin/tuner serve\n"
    with ServerProcess(tmp_path, token=None) as server:
        work = work.replace(".venv/bin/tuner", " ".join(server.command()))
        with worker(work, server):
            printed = shell(submit, server)
            assert '"name":"digits-mlp"' in printed
            server.run("watch", "digits-mlp", "--json")
            printed = shell(submit.split("\n\n")[0] + "\n" + take, server)
    assert '"val_loss"' in printed
    assert "trial_seed" in printed


def test_the_python_snippet_runs(tmp_path: Path) -> None:
    (snippet,) = PYTHON
    with ServerProcess(tmp_path) as server:
        done = completed([sys.executable, "-c", snippet], tmp_path, server.env)
    assert done.returncode == 0, done.stderr
    assert "'lr': " in done.stdout


@pytest.mark.parametrize("path", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()
