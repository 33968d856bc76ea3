"""Backups: one moment of a database under load, in a file that is whole."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from storage import Ledger, Transaction, queries
from storage.backup import backup, programs, restore
from storage.check import check
from storage.engine import database_url
from tests.contract.ledger_database import NOW, new_study, with_ledger
from tests.contract.sample import lay_sample
from tuner.cli.exits import with_cause
from tuner.errors import Conflict, InvalidInput, StorageFull
from tuner.trial import Event, EventKind


def test_a_backup_under_load_is_one_moment(url: str, other: str, tmp_path: Path) -> None:
    """Each command adds an event to both studies: a torn copy would hold more of one."""

    def pair(tx: Transaction) -> None:
        for study_id in (1, 2):
            tx.add_event(Event(study_id=study_id, kind=EventKind.CHANGED, at=NOW))

    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        await ledger.write(lambda tx: new_study(tx, "t"))
        await asyncio.gather(*(ledger.write(pair) for _ in range(3000)))
        for n in range(3):
            taking = asyncio.create_task(asyncio.to_thread(backup, url, tmp_path / f"b{n}"))
            written = 0
            while not taking.done():
                await asyncio.gather(*(ledger.write(pair) for _ in range(20)))
                written += 20
            await taking
            assert written > 20

    with_ledger(url, body)
    for n in range(3):
        restore(other, tmp_path / f"b{n}", force=True)
        assert check(other) == []
        with_ledger(other, _same_number_of_events)


async def _same_number_of_events(ledger: Ledger) -> None:
    first, second = [await queries.study_events(ledger, i, limit=10**6) for i in (1, 2)]
    assert len(first) == len(second) > 3000


def test_an_existing_file_is_kept_unless_forced(sample: str, tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_text("precious")
    with pytest.raises(Conflict, match="--force"):
        backup(sample, file)
    assert file.read_text() == "precious"
    backup(sample, file, force=True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(InvalidInput, match="does not exist"):
        backup(sample, tmp_path / "absent/b")


def test_what_is_no_regular_file_is_refused(sample: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for name in ("pipe", "link", "artifacts"):
        for force in (False, True):
            with pytest.raises(InvalidInput, match=f"{name} is no regular file"):
                backup(sample, tmp_path / name, force=force)
    assert pipe.is_fifo()
    with pytest.raises(InvalidInput, match="/proc can't be written"):
        backup(sample, Path("/proc/x"), force=True)


def test_a_link_is_followed(sample: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    for name in ("old", "new"):
        link = tmp_path / f"link to {name}"
        link.symlink_to(tmp_path / name)
        size = backup(sample, link, force=name == "old")
        assert link.is_symlink()
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).stat().st_size == size > 1000


def test_the_database_itself_is_no_target(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    (tmp_path / "link").symlink_to(tmp_path / "tuner.db")
    for name in ("tuner.db", "tuner.db-wal", "tuner.db.lock", "link"):
        with pytest.raises(InvalidInput, match="the database itself"):
            backup(url, tmp_path / name, force=True)
    assert check(url) == []


def _stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a `pg_dump` of our own first on the PATH."""
    programs.version.cache_clear()
    folder.mkdir()
    (folder / "pg_dump").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "pg_dump").chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def fresh_versions() -> None:
    programs.version.cache_clear()


def test_an_older_pg_dump_is_refused(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ledger(postgres_url, lambda ledger: ledger.write(lambda tx: None))
    _stand_in(tmp_path / "bin", monkeypatch, 'echo "pg_dump (PostgreSQL) 9.6.1"')
    with pytest.raises(InvalidInput, match="version 9 and the server of version"):
        backup(postgres_url, tmp_path / "b")


def test_a_missing_pg_dump_is_said(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ledger(postgres_url, lambda ledger: ledger.write(lambda tx: None))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="pg_dump is missing: install"):
        backup(postgres_url, tmp_path / "b")


def test_the_password_is_on_no_command_line(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ledger(postgres_url, lambda ledger: ledger.write(lambda tx: None))
    password = database_url(postgres_url).password
    assert isinstance(password, str)
    real = shutil.which("pg_dump")
    script = f'echo "$@" >> {tmp_path}/seen; exec {real} "$@"'
    _stand_in(tmp_path / "bin", monkeypatch, script)
    backup(postgres_url, tmp_path / "b")
    seen = (tmp_path / "seen").read_text()
    assert "--format=custom" in seen
    assert password not in seen


def _full(*_: object) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise full


def test_a_full_disk_is_said_with_the_file(
    sample: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        'case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";;'
        ' *) echo "could not write to output file: No space left on device" >&2; exit 1; esac'
    )
    _stand_in(tmp_path / "bin", monkeypatch, script)
    monkeypatch.setattr("storage.backup.take.copy_database", _full)
    with pytest.raises(StorageFull) as caught:
        backup(sample, tmp_path / "b")
    assert with_cause(caught.value) == f"the disk is full: {tmp_path}/b was not written"
    assert not (tmp_path / "b").exists()


def test_a_restore_to_a_full_disk_is_said_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", ".part")

    for failing, what in (("shutil.copyfile", full), ("storage.backup.into_sqlite.settle", _full)):
        with monkeypatch.context() as patched:
            patched.setattr(failing, what)
            with pytest.raises(StorageFull) as caught:
                restore(f"sqlite:///{tmp_path}/x.db", tmp_path / "b")
        assert with_cause(caught.value) == f"the disk is full: {tmp_path}/x.db was not written"
    assert not list(tmp_path.glob("*x.db*"))


def test_a_dump_that_fails_leaves_nothing(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_ledger(postgres_url, lambda ledger: ledger.write(lambda tx: None))
    script = (
        'case "$1" in --version) echo "pg_dump (PostgreSQL) 99.1";; *) echo no >&2; exit 1; esac'
    )
    _stand_in(tmp_path / "bin", monkeypatch, script)
    with pytest.raises(Exception, match="pg_dump failed: no"):
        backup(postgres_url, tmp_path / "b")
    assert not list(tmp_path.glob(".*.part"))
    assert not (tmp_path / "b").exists()
