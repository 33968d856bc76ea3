"""The disk is full, and has room again: writes are refused, reads work, and nothing is lost.

A small file system is filled where one may be mounted. Everywhere, the kernel keeps the server's
files from growing (RLIMIT_FSIZE): to SQLite that is an I/O error, after which it is not known what
is stored.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx
import pytest

from storage.check import check
from tests.faults.crowd import STUDY, Crowd
from tests.faults.light import Rounds, Tally
from tests.faults.small_disk import SmallDisk, may_mount
from tests.faults.told import missing, told_otherwise
from tests.postgres import Postgres
from tests.serving import ServerProcess

PROMISE = "Disk full"
OPTIONS = ("--lease", "600")
READS = (f"/studies/{STUDY}", f"/studies/{STUDY}/trials", f"/studies/{STUDY}/trials/0")
SMALL_KB, TABLES_KB = 24_000, 40_000


class Disk(Protocol):
    """A disk that can be filled."""

    def fill(self) -> None: ...
    def free(self) -> None: ...


class Limit:
    """The size beyond which no file of a server's grows."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    def fill(self) -> None:
        """Let no file grow: not even the smallest."""
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """Let files grow again."""
        no_limit = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(self._server.pid, resource.RLIMIT_FSIZE, no_limit)


class Case(NamedTuple):
    """A server whose disk can be filled, and how it refuses then."""

    server: ServerProcess
    url: str
    artifacts: Path
    disk: Disk
    refusals: Collection[int]
    name: str


@contextlib.contextmanager
def _limited(folder: Path, _: pytest.FixtureRequest) -> Iterator[Case]:
    url, artifacts = f"sqlite:///{folder / 'tuner.db'}", folder / "artifacts"
    with ServerProcess(folder, "--db", url, "--artifacts", str(artifacts), *OPTIONS) as server:
        yield Case(server, url, artifacts, Limit(server), {503, 507}, "SQLite, files can't grow")


@contextlib.contextmanager
def _sqlite(folder: Path, _: pytest.FixtureRequest) -> Iterator[Case]:
    small = folder / "small"
    small.mkdir()
    url, artifacts = f"sqlite:///{small / 'tuner.db'}", small / "artifacts"
    with (
        SmallDisk(small, SMALL_KB) as disk,
        ServerProcess(folder, "--db", url, "--artifacts", str(artifacts), *OPTIONS) as server,
    ):
        yield Case(server, url, artifacts, disk, {507}, "SQLite")


@contextlib.contextmanager
def _postgresql(folder: Path, request: pytest.FixtureRequest) -> Iterator[Case]:
    postgres: Postgres = request.getfixturevalue("postgres")
    artifacts = folder / "artifacts"
    small = postgres.new_folder()
    with SmallDisk(small, TABLES_KB) as disk:
        name = postgres.new_database(small)
        url = postgres.url(name)
        options = ("--db", url, "--artifacts", str(artifacts), *OPTIONS)
        try:
            with ServerProcess(folder, *options) as server:
                yield Case(server, url, artifacts, disk, {507}, "PostgreSQL, its tables")
        finally:
            postgres.drop_database(name)


KINDS: list[Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Case]]] = [
    _limited,
    _sqlite,
    _postgresql,
]


def _fill(case: Case, crowd: Crowd) -> list[str]:
    """Fill the disk under load and free it again; return what could not be read meanwhile."""
    crowd.go_on(50)
    before = crowd.told.refusals.total()
    case.disk.fill()
    try:
        crowd.wait(lambda: crowd.told.refusals.total() > before + 20, "refusals")
        unread = [f"{path}: {said}" for path in READS if (said := _unread(case.server, path))]
    finally:
        case.disk.free()
    crowd.go_on(50)
    return unread


def _unread(server: ServerProcess, path: str) -> str:
    headers = {"Authorization": f"Bearer {server.token}"}
    url = f"{server.url}/api/v1{path}"
    reply = httpx.get(url, headers=headers, timeout=60.0, trust_env=False)
    return "" if reply.is_success else f"{reply.status_code} {reply.text}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__.strip("_"))
def test_full(
    tmp_path: Path,
    tally: Tally,
    rounds: Rounds,
    request: pytest.FixtureRequest,
    kind: Callable[[Path, pytest.FixtureRequest], AbstractContextManager[Case]],
) -> None:
    if kind is not _limited and not may_mount():
        pytest.skip("a small disk can only be mounted by root")
    fills = rounds(20, 2)
    with kind(tmp_path, request) as case:
        with Crowd(case.server, refusals=case.refusals) as crowd:
            wrong = [one for _ in range(fills) for one in _fill(case, crowd)]
        wrong += told_otherwise(case.server, crowd.told)
        case.server.stop()
        wrong += missing(case.url, crowd.told)
        wrong += map(str, check(case.url, artifacts=case.artifacts, hashes=True))
    print(*wrong[:20], sep="\n")
    refused = ", ".join(f"{n} by {status}" for status, n in sorted(crowd.told.refusals.items()))
    note = f"fillings: {case.name}; {crowd.told.writes} writes acknowledged, refused: {refused}"
    tally(PROMISE, fills, len(wrong), note)
