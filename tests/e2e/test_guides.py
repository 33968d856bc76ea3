"""The guides work word for word: their files, workers and commands, against a real server.

In a guide a file's name stands in the line before its block. A block of shell that starts a worker
runs until the guide's next worker, or its end.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from tests.serving import ROOT, ServerProcess, completed
from tuner import Client
from tuner.spec import parse_yaml

GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
STUDIES = {
    "function.md": {"parabola": 8},
    "command.md": {"printed": 6, "steered": 4, "shell": 2},
    "own-loop.md": {"own": 6},
}
ELSEWHERE = {
    "after.md", "coming-from.md", "frameworks.md", "multi-gpu.md", "recipe.md", "reproduce.md",
    "torch.md",
}  # fmt: skip
"""Run by tests of their own."""
END_S = 120.0


class Workers:
    """A guide's workers, one at a time, in the background. All of them end well."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()
        log = (self._folder / "worker.log").read_text() if self._started else ""
        assert [process.wait(END_S) for process in self._started] == [0] * len(self._started), log

    def start(self, command: str) -> None:
        """Start a worker in place of the one before, which is asked to leave."""
        self._leave()
        with (self._folder / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self._folder,
                env=self._env,
                stdout=log,
                stderr=log,
            )
        self._started.append(process)

    def _leave(self) -> None:
        for process in self._started[-1:]:
            process.terminate()


def follow(guide: Path, server: ServerProcess, folder: Path) -> str:
    """Do what a guide says, in `folder`; return what its commands printed."""
    path = f"{Path(sys.executable).parent}:{server.env['PATH']}"
    env = {**server.env, "PATH": path}
    printed = ""
    with Workers(folder, env) as workers:
        for name, language, text in BLOCK.findall(guide.read_text(encoding="utf-8")):
            if name:
                (folder / name).write_text(text)
            elif text.startswith("tuner worker"):
                workers.start(text)
            else:
                assert language == "sh", text
                done = completed(["bash", "-euo", "pipefail", "-c", text], folder, env)
                assert done.returncode == 0, done.stdout + done.stderr
                printed += done.stdout
    return printed


@pytest.mark.parametrize("name", STUDIES)
def test_a_guide_works(name: str, server: ServerProcess, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    printed = follow(GUIDES / name, server, folder)
    for study, trials in STUDIES[name].items():
        found: Any = server.call("GET", f"/studies/{study}")
        assert found["state"] == "finished"
        assert "failed" not in {k for k, n in found["counts"].items() if n}, found["counts"]
        assert sum(found["counts"].values()) >= trials
        assert server.call("GET", f"/studies/{study}/best")["value"] < 1
    assert printed


def test_the_function_runs_in_an_own_loop_too(server: ServerProcess, tmp_path: Path) -> None:
    files = {name: text for name, _, text in BLOCK.findall((GUIDES / "function.md").read_text())}
    names: dict[str, Any] = {}
    exec(compile(files["train.py"], "train.py", "exec"), names)
    document = parse_yaml(files["study.yaml"].replace('{entrypoint: "train:main"}', "external"))
    with Client(server.url, server.token) as client:
        study = client.submit(document)
        for trial in study.loop():
            with trial:
                names["main"](trial)
        assert study.refresh().best is not None


def test_all_guides_are_followed() -> None:
    assert {path.name for path in GUIDES.glob("*.md")} == set(STUDIES) | ELSEWHERE


@pytest.mark.parametrize("guide", STUDIES)
def test_links_lead_somewhere(guide: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", (GUIDES / guide).read_text(encoding="utf-8")):
        assert (GUIDES / link).exists(), link
