"""How soon a server is ready behind a large study, beside Optuna and a bare read of the rows.

    python benchmarks/cold_start.py [--trials 10000] [--steps 50] [--rounds 3]

Ours is the time until the ledger is open: lock, look at the schema, all studies read, the pruners'
indexes built. Optuna's is `load_study(...).trials`. The bare read fetches the same rows through the
driver and builds nothing. Medians of the rounds' wall time, and of their ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.rates.prefill import prefill
from benchmarks.rates.processes import folder, upgraded
from storage import open_ledger
from tests.postgres import Postgres

NAME = "full"
READ = (
    "SELECT * FROM trials",
    "SELECT * FROM trial_params",
    "SELECT * FROM trial_values",
    "SELECT * FROM tuner_trials",
    "SELECT * FROM tuner_attempts",
    "SELECT trial_id, attempt, step, value, lr_factor FROM tuner_reports ORDER BY trial_id, step",
)
GOAL_S = 2.0


def ours(url: str) -> None:
    """Open the ledger and close it."""

    async def run() -> None:
        async with open_ledger(url):
            pass

    asyncio.run(run())


def plain(url: str) -> None:
    """Read the study as Optuna does."""
    optuna.load_study(study_name=NAME, storage=url).get_trials(deepcopy=False)


def bare(url: str) -> None:
    """Fetch the rows that ours reads."""
    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
    else:
        connection = psycopg.connect(url.replace("+psycopg", ""))
    with closing(connection):
        for statement in READ:
            connection.execute(statement).fetchall()


def seconds(work: Callable[[str], None], url: str) -> float:
    """Return the wall time of one run."""
    began = time.perf_counter()
    work(url)
    return time.perf_counter() - began


def lines(rounds: int, url: str) -> Iterator[tuple[str, float, float]]:
    """Yield for each reader its name, its seconds, and how many times ours it took."""
    readers = (ours, plain, bare)
    took = [[seconds(reader, url) for reader in readers] for _ in range(rounds)]
    for i, reader in enumerate(readers):
        ratio = statistics.median(row[i] / row[0] for row in took)
        yield reader.__name__, statistics.median(row[i] for row in took), ratio


@contextmanager
def databases() -> Iterator[dict[str, str]]:
    """Yield an empty database of each kind."""
    with folder() as place, Postgres(durable=True) as server:
        yield {"sqlite": f"sqlite:///{place / 'tuner.db'}", "postgresql": upgraded(server)}


def main(trials: int, steps: int, rounds: int) -> None:
    """Measure on both databases and print the table."""
    optuna.logging.disable_default_handler()
    table = Table("database", "reader", "seconds", ": ours", f"goal: under {GOAL_S:g} s")
    with databases() as urls:
        for kind, url in urls.items():
            asyncio.run(prefill(url, NAME, trials, steps=steps))
            for name, took, ratio in lines(rounds, url):
                verdict = ("met" if took < GOAL_S else "NOT met") if name == "ours" else ""
                table.add_row(kind, name, f"{took:.2f}", f"{ratio:.2f}", verdict)
    print(f"{trials:,} trials of {steps} steps, {rounds} rounds")
    Console(width=None if sys.stdout.isatty() else 100).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    main(**vars(parser.parse_args()))
