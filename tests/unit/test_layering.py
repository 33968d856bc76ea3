"""The layers hold, the contract can fail, and workers load nothing of the server's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "storage", "tuner")
LINT = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
SERVER_ONLY = ("alembic", "api", "fastapi", "optuna", "sqlalchemy", "starlette", "storage")
WORKER_MODULES = (
    "tuner",
    "tuner.client",
    "tuner.worker.agent",
    "tuner.worker.child",
    "tuner.train",
)
LIGHT_MODULES = ("tuner", "tuner.client", "tuner.cli")
TRAINER_ONLY = ("numpy", "safetensors", "scipy", "sklearn", "torch")
BACKWARD = {
    "tuner imports storage": ("tuner/backward.py", "import storage"),
    "tuner imports api inside a function": (
        "tuner/backward.py",
        "def late() -> None:\n    import api\n",
    ),
    "storage imports api": ("storage/backward.py", "import api"),
    "tuner imports fastapi": ("tuner/backward.py", "import fastapi"),
    "tuner imports optuna": ("tuner/backward.py", "from optuna.trial import TrialState"),
    "tuner imports sqlalchemy": ("tuner/backward.py", "import sqlalchemy.orm"),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _python(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_are_kept(checkout: Path) -> None:
    ran = _python(checkout, LINT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("path", "source"), BACKWARD.values(), ids=BACKWARD.keys())
def test_a_backward_import_breaks_them(checkout: Path, path: str, source: str) -> None:
    (checkout / path).write_text(source)
    ran = _python(checkout, LINT)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "BROKEN" in ran.stdout


def test_the_one_exception_is_allowed(checkout: Path) -> None:
    with (checkout / "tuner" / "_server_path.py").open("a") as module:
        module.write("\n\ndef late() -> None:\n    import api\n    import storage\n")
    ran = _python(checkout, LINT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("module", WORKER_MODULES)
def test_a_worker_loads_nothing_of_the_server(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    ran = _python(ROOT, code)
    assert ran.returncode == 0, ran.stderr
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert loaded.isdisjoint(SERVER_ONLY)


@pytest.mark.parametrize("module", LIGHT_MODULES)
def test_the_client_and_the_cli_need_no_extra(module: str) -> None:
    ran = _python(ROOT, f"import sys, {module}; print(*sys.modules)")
    assert ran.returncode == 0, ran.stderr
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert loaded.isdisjoint(SERVER_ONLY + TRAINER_ONLY)


def test_the_server_path_is_the_checkout_here() -> None:
    code = "from tuner import _server_path as p; print(p.add()); import api, storage"
    ran = _python(ROOT, code)
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == ROOT


def test_the_server_path_is_the_bundle_in_an_install(tmp_path: Path) -> None:
    installed = tmp_path / "site"
    (installed / "tuner" / "_server" / "api").mkdir(parents=True)
    (installed / "tuner" / "_server" / "api" / "__init__.py").write_text("MARK = 'bundled'\n")
    (installed / "tuner" / "__init__.py").touch()
    shutil.copy(ROOT / "tuner" / "_server_path.py", installed / "tuner")
    code = (
        "from tuner import _server_path as p; p.add(); p.add(); "
        "import api, sys; print(api.MARK, sys.path.count(str(p.add())))"
    )
    ran = _python(installed, code)
    assert ran.stdout.split() == ["bundled", "1"], ran.stderr
