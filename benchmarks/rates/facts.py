"""The machine and the versions that a measurement was made with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from tests.postgres import server_programs

_PACKAGES = ("optuna", "fastapi", "uvicorn", "sqlalchemy", "psycopg", "pydantic", "grpcio")


def facts() -> dict[str, str]:
    """Return what may change the figures, by name."""
    postgres = [str(server_programs() / "postgres"), "--version"]
    said = subprocess.run(postgres, capture_output=True, text=True, check=True).stdout
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "folder": f"{tempfile.gettempdir()} ({_file_system()})",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": said.split()[2],
        "sqlite": sqlite3.sqlite_version,
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _file_system() -> str:
    place = Path(tempfile.gettempdir()).resolve()
    kinds = {}
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mounted, kind, *_ = line.split()
        if place.is_relative_to(mounted):
            kinds[len(mounted)] = kind
    return kinds[max(kinds)] if kinds else "unknown"
