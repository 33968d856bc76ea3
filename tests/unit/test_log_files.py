"""The log of an attempt on disk: bounded, each line once, whole again after a restart."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from api.log_files import KEPT_ATTEMPTS, PIECES, LogFile, drop_old, logs_in
from storage.unnamed import restored_lease

MOST = 4000


def opened(folder: Path, attempt: int = 1, lease: str = "lease") -> LogFile:
    return LogFile(folder / "trial", attempt, lease, most=MOST)


def text_of(log: LogFile, offset: int = 0) -> str:
    parts, _ = log.read(offset)
    return b"".join(part.text for part in parts).decode()


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path, _ in logs_in(folder / "trial"))


def test_lines_are_kept_in_order(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.read(0) == ([], 0)
    assert log.append(0, ["a", "", "ö"]) == 3
    assert log.append(3, []) == 3
    assert log.append(3, ["d"]) == 4
    assert text_of(log) == "a\n\nö\nd\n"
    assert log.read(0)[1] == len("a\n\nö\nd\n".encode())


@pytest.mark.parametrize("restarts", [False, True])
def test_a_line_sent_twice_is_kept_once(tmp_path: Path, restarts: bool) -> None:
    log = opened(tmp_path)
    log.append(0, ["a", "b"])
    if restarts:
        log = opened(tmp_path)
    assert log.append(0, ["a", "b"]) == 2
    assert log.append(1, ["b", "c"]) == 3
    assert text_of(log) == "a\nb\nc\n"


def test_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for number in range(0, 1000, 10):
        log.append(number, [f"line {n:04}" for n in range(number, number + 10)])
        assert size_on_disk(tmp_path) <= MOST + MOST // PIECES
    parts, end = log.read(0)
    assert end == 1000 * 10
    text = text_of(log)
    assert text.startswith("line 0000\nline 0001\n")
    assert text.endswith("line 0998\nline 0999\n")
    assert len(text) >= MOST
    assert sum(part.left_out for part in parts) + len(text) == end
    assert text_of(opened(tmp_path)) == text


def test_any_place_can_be_read_from(tmp_path: Path) -> None:
    log = opened(tmp_path)
    rng = random.Random(3)
    lines = [f"{n}:" + "x" * rng.randrange(60) for n in range(40)]
    log.append(0, lines)
    whole = "".join(f"{line}\n" for line in lines)
    starts = {0}
    for line in lines:
        starts.add(max(starts) + len(line) + 1)
    for offset in range(len(whole) + 1):
        expected = min((s for s in starts if s >= offset), default=len(whole))
        assert text_of(log, offset) == whole[expected:]
        if offset:
            assert (
                text_of(log, -offset) == whole[min(s for s in starts if s >= len(whole) - offset) :]
            )
    assert text_of(log, 10**9) == ""
    assert text_of(log, -(10**9)) == whole


def test_what_was_not_written_to_its_end_is_cut_off(tmp_path: Path) -> None:
    opened(tmp_path).append(0, ["a", "b"])
    ((path, _),) = logs_in(tmp_path / "trial")
    with path.open("ab") as file:
        file.write("half a lö".encode()[:-1])
    log = opened(tmp_path)
    assert text_of(log) == "a\nb\n"
    assert log.append(2, ["c"]) == 3
    assert text_of(log) == "a\nb\nc\n"


def test_a_longer_line_than_a_piece_is_kept(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(0, ["a", "b" * 3 * MOST, "c"])
    assert text_of(log) == f"a\n{'b' * 3 * MOST}\nc\n"


def test_lines_that_are_lost_leave_no_hole(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(0, ["a"])
    assert log.append(5, ["f"]) == 6
    assert text_of(log) == "a\nf\n"


def test_attempts_have_their_own(tmp_path: Path) -> None:
    for attempt in range(1, KEPT_ATTEMPTS + 3):
        opened(tmp_path, attempt).append(0, [f"attempt {attempt}"])
        drop_old(tmp_path / "trial", attempt)
    first = opened(tmp_path, 3)
    assert text_of(first) == "attempt 3\n"
    assert text_of(opened(tmp_path, 2)) == ""
    drop_old(tmp_path / "trial", 100)
    assert text_of(first) == ""  # which had been read before


def test_leases_have_their_own(tmp_path: Path) -> None:
    """A restored database gives a number again."""
    opened(tmp_path).append(0, ["of the lost one"])
    later = opened(tmp_path, lease="later")
    assert text_of(later) == ""
    assert later.append(0, ["of the later one"]) == 1
    assert text_of(later) == "of the later one\n"


def test_a_restored_attempt_keeps_its_log(tmp_path: Path) -> None:
    opened(tmp_path).append(0, ["before the backup"])
    once = restored_lease("lease")
    for lease in (once, restored_lease(once)):
        assert lease != "lease"
        assert text_of(opened(tmp_path, lease=lease)) == "before the backup\n"


def test_a_folder_that_is_gone_is_an_empty_log(tmp_path: Path) -> None:
    assert opened(tmp_path / "absent").read(0) == ([], 0)
    drop_old(tmp_path / "absent", 9)
