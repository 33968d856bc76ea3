"""The user's data folder: made where it is used, and not needed where it is not."""

from __future__ import annotations

from pathlib import Path

from tests.serving import TOKEN, ServerProcess, refused


def test_a_server_that_is_given_all_needs_none(tmp_path: Path) -> None:
    (tmp_path / "no-folder").touch()
    url, home = f"sqlite:///{tmp_path / 'own.db'}", tmp_path / "no-folder" / "home"
    with ServerProcess(tmp_path, "--db", url, variables={"TUNER_HOME": str(home)}) as server:
        assert server.call("GET", "/studies")["items"] == []
    assert (tmp_path / "own-artifacts").is_dir()
    assert server.token == TOKEN


def test_a_mistyped_folder_is_not_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'typo' / 'own.db'}"
    for options in ((), ("--artifacts", "s3://bucket/x")):
        said = refused(tmp_path, "--db", url, *options)
        assert said == f"error: the folder {tmp_path / 'typo'} does not exist"
        assert not (tmp_path / "typo").exists()
