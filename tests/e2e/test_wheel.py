"""The wheel serves and works from empty environments, far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.serving import ROOT, ServerProcess, environment

PACKAGES = {
    "tuner": "tuner",
    "api": "tuner/_server/api",
    "storage": "tuner/_server/storage",
    "examples": "tuner/_examples",
}
SERVER_ONLY = ("alembic", "api", "fastapi", "optuna", "sqlalchemy", "starlette", "storage")
RUN_SECONDS = 600.0
OPTUNA_STUDY = """
import optuna, tuner
optuna.logging.disable_default_handler()
study = optuna.create_study(storage=tuner.open_storage("sqlite:///optuna.db"))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=3)
print(len(study.trials), "trials")
"""
STUDY = """
api_version: v1
name: from-the-wheel
objective: {metric: val_loss, mode: min}
sampler: {name: random, seed: 0}
pruner: {name: none}
budget: {trials: 1, steps: 1}
run: {task: digits-mlp}
"""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    _run([*command, str(ROOT)], cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def _run(command: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> str:
    ran = subprocess.run(
        command,
        cwd=cwd,
        env=env or environment(cwd),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@contextmanager
def _installed(wheel: Path, extra: str, folder: Path) -> Iterator[Path]:
    """Install the wheel with one extra into an empty environment; yield its programs' folder."""
    folder.mkdir()
    home = folder / "venv"
    venv.create(home, symlinks=True)
    command = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install"]
    command += ["--quiet", "--no-compile", "--disable-pip-version-check"]
    if index := os.environ.get("TORCH_INDEX"):
        command += ["--extra-index-url", index]
    try:
        _run([*command, "-c", str(ROOT / "constraints.txt"), f"{wheel}[{extra}]"], cwd=folder)
        yield home / "bin"
    finally:
        shutil.rmtree(home)


def _importable(python: Path, names: tuple[str, ...], cwd: Path) -> set[str]:
    code = "import sys, importlib.util as u; print(*filter(u.find_spec, sys.argv[1:]))"
    return set(_run([str(python), "-c", code, *names], cwd=cwd).split())


def test_the_wheel_carries_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    expected = {
        f"{target}/{path.relative_to(ROOT / source).as_posix()}"
        for source, target in PACKAGES.items()
        for path in (ROOT / source).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == expected
    assert "tuner/py.typed" in names


def test_it_serves_and_works_from_two_empty_environments(wheel: Path, tmp_path: Path) -> None:
    """All in one, so that the environments are made once however the tests are distributed."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        made = [
            pool.submit(stack.enter_context, _installed(wheel, extra, tmp_path / folder))
            for extra, folder in (("server", "server"), ("torch", "worker"))
        ]
        server, worker = (future.result() for future in made)
        _check_the_servers_environment(server / "python", tmp_path)
        _check_the_workers_environment(worker / "python", tmp_path)
        _complete_a_trial(server, worker, tmp_path)


def _check_the_servers_environment(python: Path, folder: Path) -> None:
    assert _importable(python, ("api", "storage", "torch"), folder) == set()
    code = "from tuner import _server_path as p; p.add(); import api, storage; print(api.__file__)"
    where = Path(_run([str(python), "-c", code], cwd=folder).strip())
    assert where.is_relative_to(python.parents[1])
    assert _run([str(python), "-c", OPTUNA_STUDY], cwd=folder) == "3 trials\n"


def _check_the_workers_environment(python: Path, folder: Path) -> None:
    assert _importable(python, SERVER_ONLY, folder) == set()
    needed = ("httpx", "torch", "tuner")
    assert _importable(python, needed, folder) == set(needed)


def _complete_a_trial(server: Path, worker: Path, folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY)
    tuner = str(worker / "tuner")
    home = folder / "served"
    home.mkdir()
    options = ("--db", f"sqlite:///{folder / 'tuner.db'}")
    with ServerProcess(home, *options, program=[str(server / "tuner")]) as running:
        env = {**running.env, "TUNER_HOME": str(folder / "worker-home")}
        study = _run([tuner, "submit", "study.yaml"], folder, env).strip()
        _run([tuner, "worker", "--slots", "1", "--until-idle", "3"], folder, env)
        best = json.loads(_run([tuner, "best", study, "--json"], folder, env))
    assert isinstance(best["value"], float)
    assert set(best["params"]) == {"lr", "batch_size", "init_scale", "dropout", "clip_norm"}
