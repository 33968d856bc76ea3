"""What a proposal costs, beside plain Optuna and, where it is installed, Rustuna.

    python benchmarks/asks.py [--quick]

Prints, for each sampler and number of trials, the CPU time of one ask of the five default
parameters, and how long a message waits at an event loop beside which TPE proposes without a pause.
Of the trials before, a third was pruned; each has up to ten reports. Before each ask another trial
ends, so that nothing can be kept for good.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import optuna
from optuna.trial import TrialState as OptunaState
from rich.console import Console
from rich.table import Table

from api.sampling.points import draw
from api.sampling.terms import Point, to_distribution
from api.search import PROPOSERS
from tuner.decision import Outcome
from tuner.space import default_space
from tuner.spec import check
from tuner.study import Study
from tuner.trial import Origin, Report, Trial, TrialState

START = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = default_space()
STEPS = 10
LARGEST = {"gp": 200}
"""Trials beyond which a sampler is not measured, since each ask takes seconds; nor is it at 0."""
OPTUNA: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "random": lambda: optuna.samplers.RandomSampler(seed=0),
    "tpe": lambda: optuna.samplers.TPESampler(seed=0),
    "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=0, warn_independent_sampling=False),
    "qmc": lambda: optuna.samplers.QMCSampler(
        scramble=True, seed=0, warn_independent_sampling=False
    ),
    "gp": lambda: optuna.samplers.GPSampler(seed=0, warn_independent_sampling=False),
}
Ask = Callable[[], object]
Tell = Callable[[], None]


@dataclass(frozen=True, kw_only=True)
class Past:
    """How a trial went."""

    point: Point
    curve: tuple[float, ...]
    pruned: bool


def past(rng: random.Random, point: Point | None = None) -> Past:
    """Return how a trial may go."""
    pruned, value = rng.random() < 1 / 3, rng.random()
    steps = rng.randrange(1, STEPS) if pruned else STEPS
    curve = tuple(value + 1 / step for step in range(1, steps + 1))
    return Past(point=point or draw(SPACE, rng), curve=curve, pruned=pruned)


def ours(sampler: str, before: list[Past], rng: random.Random) -> tuple[Ask, Tell]:
    """Return what asks our proposer, and what ends the trial asked for."""
    of, trials = study(sampler), [ended(i, p) for i, p in enumerate(before)]
    proposer = PROPOSERS[sampler](of)

    def ask() -> None:
        (point,) = proposer.propose(of, len(trials), trials)
        trials.append(begun(len(trials), point))

    def tell() -> None:
        trials[-1] = ended(len(trials) - 1, past(rng, dict(trials[-1].params)))

    return ask, tell


def study(sampler: str) -> Study:
    """Return a study of the default space."""
    document = {
        "objective": {"metric": "loss", "mode": "min"},
        "sampler": {"name": sampler, "seed": 0},
        "run": "external",
    }
    spec = check({**document, "space": SPACE_DOCUMENT})
    return Study(study_id=1, name="asks", spec=spec, created_at=START)


SPACE_DOCUMENT: dict[str, Any] = {
    name: {"values": list(p.values)}
    if hasattr(p, "values")
    else {"min": p.low, "max": p.high, "log": p.log}
    for name, p in SPACE.parameters.items()
}


def begun(number: int, point: Point) -> Trial:
    """Return a running trial."""
    at = START + timedelta(seconds=number)
    return Trial(
        trial_id=number + 1, study_id=1, number=number, params=point, seed=number,
        origin=Origin.SAMPLED, created_at=at, attempt=1, state=TrialState.RUNNING,
    )  # fmt: skip


def ended(number: int, how: Past) -> Trial:
    """Return a trial that went so."""
    return begun(number, how.point).evolve(
        state=TrialState.ENDED,
        outcome=Outcome.PRUNED if how.pruned else Outcome.COMPLETE,
        value=None if how.pruned else how.curve[-1],
        reports=tuple(Report(i, v, 1.0) for i, v in enumerate(how.curve, 1)),
        ended_at=START + timedelta(seconds=number + 0.5),
    )


def plain(sampler: str, before: list[Past], rng: random.Random) -> tuple[Ask, Tell]:
    """Return what asks plain Optuna, on its storage in memory, and what ends the trial."""
    distributions = {n: to_distribution(p) for n, p in SPACE.parameters.items()}
    whole = optuna.create_study(sampler=OPTUNA[sampler]())
    whole.add_trials(
        [
            optuna.trial.create_trial(
                state=OptunaState.PRUNED if p.pruned else OptunaState.COMPLETE,
                value=None if p.pruned else p.curve[-1],
                params=p.point,
                distributions=distributions,
                intermediate_values=dict(enumerate(p.curve, 1)),
            )
            for p in before
        ]
    )
    asked: list[optuna.Trial] = []

    def ask() -> None:
        asked.append(whole.ask())
        for name, distribution in distributions.items():
            asked[-1]._suggest(name, distribution)

    return ask, lambda: _tell(whole, asked[-1], past(rng))


def _tell(whole: Any, trial: Any, how: Past) -> None:
    for step, value in enumerate(how.curve, 1):
        trial.report(value, step)
    if how.pruned:
        whole.tell(trial, state=OptunaState.PRUNED)
    else:
        whole.tell(trial, how.curve[-1])


def rustuna(sampler: str, before: list[Past], rng: random.Random) -> tuple[Ask, Tell]:
    """Return what asks Rustuna, and what ends the trial."""
    rust: Any = __import__("rustuna")
    names = {"random": "RandomSampler", "tpe": "TPESampler", "cmaes": "CmaEsSampler"}
    whole = rust.create_study(sampler=getattr(rust.samplers, names[sampler])(seed=0))
    kinds, states = rust.distributions, rust.trial.TrialState
    distributions = {
        n: kinds.CategoricalDistribution(d["values"])
        if "values" in d
        else kinds.FloatDistribution(d["min"], d["max"], log=d["log"])
        for n, d in SPACE_DOCUMENT.items()
    }
    for p in before:
        whole.add_trial(
            rust.create_trial(
                state=states.PRUNED if p.pruned else states.COMPLETE,
                value=None if p.pruned else p.curve[-1],
                params=p.point,
                distributions=distributions,
                intermediate_values=dict(enumerate(p.curve, 1)),
            )
        )
    asked: list[Any] = []

    def ask() -> None:
        asked.append(whole.ask())
        for name, d in SPACE_DOCUMENT.items():
            if "values" in d:
                asked[-1].suggest_categorical(name, d["values"])
            else:
                asked[-1].suggest_float(name, d["min"], d["max"], log=d["log"])

    return ask, lambda: whole.tell(asked[-1].number, rng.random())


Peer = Callable[[str, list[Past], random.Random], tuple[Ask, Tell]]


def cost(peer: Peer, sampler: str, count: int, asks: int) -> float:
    """Return the CPU time of an ask, in ms; the median."""
    rng = random.Random(0)
    ask, tell = peer(sampler, [past(rng) for _ in range(count)], rng)
    spent = []
    for i in range(asks + 3):
        began = time.process_time()
        ask()
        if i >= 3:
            spent.append(time.process_time() - began)
        tell()
    return 1e3 * statistics.median(spent)


def rows(sizes: list[int], asks: int) -> Table:
    """Measure all samplers and return the table."""
    peers = [plain] + ([rustuna] if find_spec("rustuna") else [])
    table = Table("sampler", "trials", "ours, ms of CPU", *(f"{p.__name__}, ms" for p in peers),
                  *(f"{p.__name__} : ours" for p in peers))  # fmt: skip
    for sampler in OPTUNA:
        for size in sizes:
            if sampler in LARGEST and not 0 < size <= LARGEST[sampler]:
                continue
            count = min(asks, 5) if sampler == "gp" and size else asks
            mine = cost(ours, sampler, size, count)
            has = [p is plain or sampler in ("random", "tpe", "cmaes") for p in peers]
            theirs = [cost(p, sampler, size, count) if h else None
                      for p, h in zip(peers, has, strict=True)]  # fmt: skip
            table.add_row(sampler, f"{size:,}", f"{mine:.3f}",
                          *("-" if t is None else f"{t:.3f}" for t in theirs),
                          *("-" if t is None else f"{t / mine:.1f}" for t in theirs))  # fmt: skip
    return table


async def stall(peer: Peer | None, size: int, seconds: float) -> list[float]:
    """Return how long an echo took beside TPE's asks in a thread, in ms: p50, p99, largest."""
    rng = random.Random(0)
    ask, tell = peer("tpe", [past(rng) for _ in range(size)], rng) if peer else (None, None)
    executor, over = ThreadPoolExecutor(1), False

    def work() -> None:
        while ask is not None and tell is not None and not over:
            ask()
            tell()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                writer.write(await reader.readexactly(8))
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    working = asyncio.get_running_loop().run_in_executor(executor, work)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    found, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(b"8 bytes.")
        await reader.readexactly(8)
        found.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.002)
    over = True
    await working
    writer.close()
    await writer.wait_closed()
    server.close()
    found.sort()
    return [found[int(q * (len(found) - 1))] for q in (0.5, 0.99, 1.0)]


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer trials and asks")
    quick = parser.parse_args().quick
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(rows([0, 200] if quick else [0, 200, 1000, 10_000], 5 if quick else 30))
    waits = Table("beside TPE at", "echo p50, ms", "p99", "largest")
    size = 200 if quick else 10_000
    for name, peer in (("nothing", None), ("ours", ours), ("plain Optuna", plain)):
        found = asyncio.run(stall(peer, size, 1.0 if quick else 8.0))
        waits.add_row(f"{name}, n = {size:,}", *(f"{x:.2f}" for x in found))
    console.print(waits)


if __name__ == "__main__":
    main()
