"""Where files of trials lie by default: no two databases share a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.serve import artifact_folder
from tuner import home


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNER_HOME", str(tmp_path))
    return tmp_path


def test_each_database_has_one_of_its_own(folder: Path) -> None:
    assert artifact_folder(home.database_url()) == folder / "tuner-artifacts"
    assert artifact_folder("postgresql://u@h/tuner") == folder / "tuner.artifacts"
    assert artifact_folder("postgresql://u@h/..%2Fx") == folder / "..%2Fx.artifacts"
