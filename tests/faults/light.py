"""What the cases about workers share: lean workers, and a look into the database."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self
from urllib.parse import urlsplit

from storage.check import Finding, check
from tests.e2e.worker_process import wait_until
from tests.serving import PROGRAM, ServerProcess

PATIENCE_S = 120.0
"""A safety net for waiting, no measure."""
_SCRIPT = Path(__file__).with_name("light_worker.py")


class Tally(Protocol):
    """Adds a row to the table of what was tried and what failed."""

    def __call__(self, promise: str, tries: int, failures: int, note: str = "") -> None: ...


Rounds = Callable[[int, int], int]
"""Takes the number of rounds of the long and of the short form, and gives the one in force."""


class Held(NamedTuple):
    """An attempt of a trial."""

    trial_id: int
    attempt: int


class Book:
    """The server's database, read while it is being written."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        connection = sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, timeout=30.0)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def number(self, query: str, *values: Any) -> int:
        """Return the single number that a query finds."""
        ((found,),) = self.rows(query, *values)
        return int(found)

    def held(self, worker_id: str) -> list[Held]:
        """Return the open attempts of a worker that have reported."""
        query = """
            SELECT DISTINCT trial_id, attempt FROM tuner_attempts
            JOIN tuner_reports USING (trial_id, attempt) WHERE worker_id = ? AND ended_at IS NULL
        """
        return [Held(*row) for row in self.rows(query, worker_id)]

    def end(self, held: Held) -> str | None:
        """Return why an attempt ended, None while it is open."""
        query = "SELECT ended_why FROM tuner_attempts WHERE trial_id = ? AND attempt = ?"
        ((why,),) = self.rows(query, *held)
        return None if why is None else str(why)

    def goes_on(self, held: Held) -> bool:
        """Tell whether a later attempt has reported."""
        query = "SELECT count(*) FROM tuner_reports WHERE trial_id = ? AND attempt > ?"
        return self.number(query, *held) > 0

    def stale_writes(self) -> list[str]:
        """Return what was written for an attempt after its end, and ends that came twice.

        An attempt that ended its trial may add files for a while.
        """
        query = """
            SELECT trial_id, attempt, step FROM tuner_reports w
            JOIN tuner_attempts a USING (trial_id, attempt) WHERE w.at > a.ended_at
        """
        wrong = [f"report {row}" for row in self.rows(query)]
        query = """
            SELECT t.trial_id, e.attempt, e.step FROM tuner_events e
            JOIN tuner_trials t USING (study_id, number)
            JOIN tuner_attempts a ON a.trial_id = t.trial_id AND a.attempt = e.attempt
            WHERE e.kind = 'checkpoint' AND e.at > a.ended_at AND a.ended_why <> 'ended'
        """
        wrong += [f"checkpoint {row}" for row in self.rows(query)]
        query = """
            SELECT trial_id, attempt FROM tuner_attempts a WHERE ended_why = 'ended'
            AND EXISTS (SELECT 1 FROM tuner_attempts b
                        WHERE b.trial_id = a.trial_id AND b.attempt > a.attempt)
        """
        return wrong + [f"end {row}" for row in self.rows(query)]


@contextmanager
def serving(
    folder: Path, terms: Mapping[str, float], *, program: Sequence[str] = PROGRAM
) -> Iterator[tuple[ServerProcess, Book]]:
    """Serve a database in `folder`; `terms` are lease, heartbeat and sweep in seconds.

    After the test the database is checked.
    """
    home = folder / "server"
    home.mkdir()
    file = home / "tuner.db"
    named = [part for key, value in terms.items() for part in (f"--{key}", str(value))]
    url = f"sqlite:///{file}"
    with ServerProcess(home, "--db", url, *named, program=program) as server:
        yield server, Book(file)
        server.stop()
        assert findings(url) == []


def findings(url: str) -> list[Finding]:
    """Return what the database's own check finds."""
    return list(check(url))


def study(entrypoint: str, **more: Any) -> dict[str, Any]:
    """Return a study of many trials without steering, that are tried again and again."""
    return {
        "name": "study",
        "objective": {"metric": "val_loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [],
        "retry": {"max": 1000},
        "budget": {"trials": 100_000, "parallel": 1000, "max_failures": 1000},
        "run": {"entrypoint": entrypoint},
        **more,
    }


class Light:
    """A lean worker in a process of its own, to be frozen and killed.

    Args:
        steps: of a trial; each is reported, then it sleeps `sleep` seconds.
        every: after so many steps it uploads a checkpoint of `size` bytes.
        pause: seconds between the two pieces of each request.
        hang_at: the upload that stops for ever in its middle, counted from 1.
    """

    def __init__(
        self,
        server: ServerProcess,
        folder: Path,
        name: str,
        *,
        steps: int = 40,
        every: int = 4,
        size: int = 3000,
        sleep: float = 0.02,
        pause: float = 0.01,
        hang_at: int = 0,
    ) -> None:
        where = urlsplit(server.url)
        settings = {
            "host": where.hostname, "port": where.port, "token": server.token, "name": name,
            "steps": steps, "every": every, "size": size, "sleep": sleep, "pause": pause,
            "hang_at": hang_at,
        }  # fmt: skip
        self._file = folder / f"light-{name}.jsonl"
        with self._file.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_SCRIPT), json.dumps(settings)],
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        if exc[0] is not None:
            print(self._file.name, *self._file.read_text().splitlines()[-5:], sep="\n")

    def said(self, what: str) -> list[Mapping[str, Any]]:
        """Return all that it wrote down of one kind."""
        text = self._file.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        return [line for line in map(json.loads, whole) if line["what"] == what]

    def worker_ids(self) -> list[str]:
        """Return the ids the server gave it, oldest first."""
        return [str(line["worker"]) for line in self.said("registered")]

    def freeze(self) -> None:
        """Stop it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


def wait_for(count: Callable[[], int], least: int, what: str) -> None:
    """Wait until there are so many."""
    wait_until(lambda: count() >= least, what, PATIENCE_S)


def seize(
    book: Book, worker_ids: Callable[[], list[str]], stop: Callable[[], None], rng: random.Random
) -> list[Held]:
    """Stop a worker at a random moment of a trial; return what it held.

    What was under way may end an attempt still: that is not held. Empty if nothing was held.
    """
    wait_until(lambda: _held(book, worker_ids()), "it runs a trial", PATIENCE_S)
    time.sleep(rng.uniform(0.0, 0.15))
    stop()
    return _held(book, worker_ids())


def _held(book: Book, worker_ids: list[str]) -> list[Held]:
    return [held for worker_id in worker_ids[-1:] for held in book.held(worker_id)]


def lost(book: Book, held: list[Held]) -> list[Held]:
    """Wait until attempts of a worker that is gone are over; return those that were lost."""
    wait_until(lambda: all(book.end(one) for one in held), "the leases are over", PATIENCE_S)
    return [one for one in held if book.end(one) == "lost"]
