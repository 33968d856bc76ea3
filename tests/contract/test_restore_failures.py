"""Restores that are refused, killed, or meet what lies in their way."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from storage import Ledger, Transaction, open_ledger
from storage.backup import backup, programs, restore
from storage.check import check
from storage.engine import database_url
from storage.owner import FileLock
from tests.contract.ledger_database import NOW, count, execute, loaded, new_study, with_ledger
from tests.contract.ledger_history import History
from tests.contract.sample import lay_sample
from tuner.errors import Conflict, InvalidInput, NotFound, OwnerLost, SchemaMismatch
from tuner.trial import Event, EventKind


@pytest.mark.parametrize("damage", ["cut", "changed", "text", "newer", "absent"])
def test_a_backup_that_is_none_changes_nothing(
    sample: str, other: str, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "b"
    lay_bulk(sample)
    if damage == "newer":
        execute(sample, "UPDATE tuner_alembic_version SET version_num = '9999'")
        _raw_backup(sample, file)
    else:
        backup(sample, file)
    lay_sample(other, tmp_path / "others")
    before = loaded(other)
    expected: type[Exception] = InvalidInput
    if damage == "cut":
        os.truncate(file, file.stat().st_size * 2 // 3)
    elif damage == "changed":
        data = bytearray(file.read_bytes())
        data[len(data) // 3 : len(data) // 3 + 9000] = bytes(9000)
        file.write_bytes(data)
    elif damage == "text":
        file.write_text("-- a script")
    elif damage == "newer":
        expected = SchemaMismatch
    else:
        file.unlink()
        expected = NotFound
    with pytest.raises(expected):
        restore(other, file, force=True)
    assert loaded(other) == before
    assert not list(tmp_path.glob(".*.part*"))


def lay_bulk(url: str) -> None:
    """Write some hundred kilobytes, so that damage hits data."""
    history = History(3)

    def bulk(tx: Transaction) -> None:
        for _ in range(3000):
            data = {"noise": str(history.rng.getrandbits(400))}
            tx.add_event(Event(study_id=1, kind=EventKind.CHANGED, at=NOW, data=data))

    async def run() -> None:
        async with open_ledger(url) as ledger:
            await ledger.write(bulk)

    asyncio.run(run())


def _raw_backup(url: str, file: Path) -> None:
    if url.startswith("sqlite"):
        shutil.copy(url.removeprefix("sqlite:///"), file)
    else:
        programs.run("pg_dump", "--format=custom", f"--file={file}", url=database_url(url))


def test_a_backup_of_the_other_kind_is_refused(sample: str, tmp_path: Path) -> None:
    backup(sample, tmp_path / "b")
    wrong = "postgresql://u@127.0.0.1:1/x" if sample[0] == "s" else f"sqlite:///{tmp_path}/x.db"
    with pytest.raises(InvalidInput, match="is a backup of a"):
        restore(wrong, tmp_path / "b")


def test_the_log_of_the_former_file_is_not_read_into_the_new_one(tmp_path: Path) -> None:
    """A killed server leaves its last commits in FILE-wal."""
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")
    _write_and_die(url)
    assert (tmp_path / "tuner.db-wal").stat().st_size
    restore(url, tmp_path / "b", force=True)
    assert not (tmp_path / "tuner.db-wal").exists()
    assert check(url) == []
    assert count(url, "studies") == 2


def test_a_log_whose_file_was_removed_is_not_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")
    _write_and_die(url)
    (tmp_path / "tuner.db").unlink()
    restore(url, tmp_path / "b")
    assert check(url) == []
    assert count(url, "studies") == 2


def _write_and_die(url: str) -> None:
    code = f"""
import asyncio, os, signal
from storage import open_ledger
from tests.contract.ledger_database import new_study

async def run():
    async with open_ledger({url!r}) as ledger:
        await ledger.write(lambda tx: new_study(tx, "after the backup"))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(run())
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


def test_a_file_that_others_have_open_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")
    reader = sqlite3.connect(tmp_path / "tuner.db")
    reader.execute("SELECT count(*) FROM studies").fetchone()
    with pytest.raises(Conflict, match="open"):
        restore(url, tmp_path / "b", force=True)
    assert reader.execute("SELECT count(*) FROM studies").fetchone() == (2,)
    reader.close()
    restore(url, tmp_path / "b", force=True)


def test_a_damaged_database_is_replaced_when_forced(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")
    (tmp_path / "tuner.db").write_bytes(b"scrambled" * 1000)
    with pytest.raises(Conflict, match="--force"):
        restore(url, tmp_path / "b")
    restore(url, tmp_path / "b", force=True)
    assert check(url) == []


def test_a_refused_restore_leaves_no_lock_behind(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"
    lay_sample(url, tmp_path / "artifacts")
    backup(url, tmp_path / "b")
    os.truncate(tmp_path / "b", 5000)
    before = set(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match="damaged"):
        restore(f"sqlite:///{tmp_path}/other.db", tmp_path / "b")
    with pytest.raises(InvalidInput, match="damaged"):
        restore(url, tmp_path / "b", force=True)
    assert set(tmp_path.iterdir()) == before
    assert (tmp_path / "tuner.db.lock").exists()


def test_a_lock_on_a_file_that_is_gone_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who opened it before it went gets it too late, and takes the new one."""
    first, second = (FileLock(tmp_path / "x.db", name) for name in "ab")
    first.acquire()
    real, calls = fcntl.flock, []

    def late(*args: Any) -> None:
        calls.append(args)
        first.release()
        real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", late)
        second.acquire()
    assert len(calls) == 2
    with pytest.raises(OwnerLost, match="b owns"):
        first.acquire()
    second.release()
    assert not list(tmp_path.iterdir())


def test_a_live_database_is_no_backup(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tuner.db"

    async def body(ledger: Ledger) -> None:
        await ledger.write(new_study)
        with pytest.raises(InvalidInput, match="in use"):
            await asyncio.to_thread(restore, f"sqlite:///{tmp_path}/x.db", tmp_path / "tuner.db")

    with_ledger(url, body)


_RESTORER = """
import sys
import time
from pathlib import Path
from storage.backup import restore
print("ready", flush=True)
restore(sys.argv[1], Path(sys.argv[2]), force=True)
print("done", flush=True)
"""


def test_a_killed_restore_leaves_one_state_or_the_other(sample: str, tmp_path: Path) -> None:
    lay_bulk(sample)
    backup(sample, tmp_path / "b")
    events = count(sample, "tuner_events")

    async def goes_on(ledger: Ledger) -> None:
        await ledger.write(lambda tx: new_study(tx, "after the backup"))
        await ledger.write(_event)

    with_ledger(sample, goes_on)
    longest = _restored(sample, tmp_path / "b", None)
    for kill in range(6):
        with_ledger(sample, lambda ledger: ledger.write(lambda tx: None))
        if count(sample, "studies") == 2:
            with_ledger(sample, goes_on)
        _restored(sample, tmp_path / "b", longest * (kill + 0.5) / 6)
        assert check(sample) == []
        with_ledger(sample, lambda ledger: ledger.write(lambda tx: None))
        assert count(sample, "studies") in (2, 3)
        assert count(sample, "tuner_events") > events  # `restored`, or what came after
        assert check(sample) == []
    restore(sample, tmp_path / "b", force=True)
    assert check(sample) == []
    assert count(sample, "studies") == 2


def _restored(url: str, file: Path, kill_after: float | None) -> float:
    """Restore in a process of its own, killed after so many seconds; return how long it took."""
    process = subprocess.Popen(
        [sys.executable, "-c", _RESTORER, url, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    if kill_after is None:
        assert process.stdout.readline() == "done\n"
    else:
        time.sleep(kill_after)
        process.kill()
    process.wait()
    process.stdout.close()
    return time.monotonic() - began


def _event(tx: Transaction) -> None:
    tx.add_event(Event(study_id=1, kind=EventKind.CHANGED, at=NOW))
