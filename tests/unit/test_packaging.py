"""What pyproject.toml, constraints.txt, the Makefile and the docs say of each other."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
GPU_ONLY = re.compile(r"cuda-|nvidia-(cu|nccl|nv)|triton")
INSTALLER = "pip"
PINS = {
    canonicalize_name(requirement.name): requirement
    for requirement in map(
        Requirement,
        (
            line
            for line in (ROOT / "constraints.txt").read_text().splitlines()
            if not line.startswith("#")
        ),
    )
}


def _direct() -> list[Requirement]:
    """Return the requirements the project names itself."""
    groups = [
        PROJECT["dependencies"],
        *(EXTRAS[name] for name in ("server", "s3", "otel", "parquet", "torch", "test")),
    ]
    return [Requirement(text) for group in groups for text in group]


def _needed() -> set[NormalizedName]:
    """Return the names of all that `tuner[all]` brings along on this machine."""
    needed: set[NormalizedName] = set()
    waiting = _direct()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or requirement.marker.evaluate()
        if not applies or (name in needed and not requirement.extras):
            continue
        needed.add(name)
        for text in importlib.metadata.requires(name) or []:
            below = Requirement(text)
            extras = requirement.extras or {""}
            if below.marker is None or any(below.marker.evaluate({"extra": e}) for e in extras):
                below.marker = None
                waiting.append(below)
    return needed


def test_every_dependency_is_pinned_at_the_version_in_use() -> None:
    needed = {name for name in _needed() if not GPU_ONLY.match(name) and name != INSTALLER}
    assert len(needed) > 50
    assert needed <= PINS.keys()
    for name in needed:
        installed = importlib.metadata.version(name)
        assert PINS[name].specifier.contains(installed, prereleases=True), f"{name} {installed}"


def test_pins_are_exact_and_fit_what_the_project_asks_for() -> None:
    for pin in PINS.values():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert Version(specifier.version).local is None
    for requirement in _direct():
        (specifier,) = PINS[canonicalize_name(requirement.name)].specifier
        assert requirement.specifier.contains(specifier.version), requirement


def test_torch_is_pinned_to_the_version_the_figures_were_measured_with() -> None:
    assert str(PINS[canonicalize_name("torch")].specifier) == "==2.13.0"


def test_the_extra_all_is_all_extras() -> None:
    (requirement,) = (Requirement(text) for text in EXTRAS["all"])
    assert requirement.name == PROJECT["name"]
    assert requirement.extras == set(EXTRAS) - {"all"}


def test_each_dependency_has_its_line_in_the_docs() -> None:
    rows = re.findall(r"^\| `([\w.-]+)` \|", (ROOT / "docs/dependencies.md").read_text(), re.M)
    documented = sorted(canonicalize_name(name) for name in rows)
    backends = {"psycopg-binary", "uvicorn-standard"}
    assert set(documented) - backends == {canonicalize_name(r.name) for r in _direct()}
    assert len(documented) == len(set(documented))


def test_the_python_floor_is_the_same_everywhere() -> None:
    floor = PROJECT["requires-python"].removeprefix(">=")
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    major, minor = floor.split(".")
    assert tools["mypy"]["python_version"] == floor
    assert tools["ruff"]["target-version"] == f"py{major}{minor}"
    assert f"({major}, {minor})" in (ROOT / "Makefile").read_text()
    assert f"ARG PYTHON={floor}\n" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("target", ["demo", "test", "lint", "format", "constraints", "clean"])
def test_make_help_lists_the_targets(target: str) -> None:
    ran = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"^  make {target} +\w", ran.stdout, re.M)


def test_continuous_integration_calls_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert script.read_text().splitlines()[-2:] == ["make audit", "exec make test"]


def test_make_test_ends_with_pytest() -> None:
    ran = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "test"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.match(r"\.venv/bin/pytest -n auto\b", ran.stdout.splitlines()[-1])
