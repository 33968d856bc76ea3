"""A worker's temporary files: its own go at its end, a killed worker's with the next one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tuner.worker.work_folder import _host, _kernel, work_folder

OTHER = "0123abcd"
OWN = f"tuner-work-{_host()}-{_kernel()}-"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def left(place: Path, name: str, *, age: float = 3600.0) -> Path:
    """Make a folder as a worker that was killed would leave it."""
    folder = place / name
    folder.mkdir()
    (folder / "trial.ckpt").write_bytes(b"weights")
    aged(folder, age)
    return folder


def aged(folder: Path, age: float = 3600.0) -> None:
    then = time.time() - age
    os.utime(folder, (then, then))


def test_a_workers_folder_goes_with_it(place: Path) -> None:
    with work_folder() as folder:
        (folder / "trial.ckpt").write_bytes(b"weights")
        assert folder.parent == place
    assert not folder.exists()


@pytest.mark.parametrize(
    "name",
    [
        f"{OWN}dead",
        f"tuner-work-{_host()}-{OTHER}-before-a-boot",
        f"tuner-work-{OTHER}-{_kernel()}-in-a-container",
    ],
)
def test_a_killed_workers_folder_goes_with_the_next_worker(place: Path, name: str) -> None:
    dead = left(place, name)
    with work_folder() as folder:
        assert folder.name.startswith(OWN)
        assert not dead.exists()
        assert folder.exists()


def test_a_living_workers_folder_stays() -> None:
    with work_folder() as living:
        aged(living)
        with work_folder():
            assert living.exists()


def test_a_folder_just_made_and_other_folders_stay(place: Path) -> None:
    names = ("tuner-demo-old", "tuner-work-old", f"tuner-work-{OTHER}-{OTHER}-on-another-machine")
    kept = [left(place, f"{OWN}new", age=1.0), *(left(place, name) for name in names)]
    elsewhere = left(place, "elsewhere")
    link = place / f"{OWN}link"
    link.symlink_to(elsewhere)
    os.utime(link, (0, 0), follow_symlinks=False)
    with work_folder():
        assert all(folder.exists() for folder in [*kept, elsewhere])
