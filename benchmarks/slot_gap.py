"""Measure what the service adds: the gap between two trials of a slot, and a report's round trip.

    python benchmarks/slot_gap.py [TRIALS]

Runs a real server on a SQLite file and a real worker, both on loopback. The gap is from the last
line of one trial's function to the first of the next one's; the round trip is `trial.report` as
training code feels it. Torch is loaded.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.worker_process import WorkerProcess  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402

REPORTS = 20
CODE = """
import time
import torch

def main(trial):
    began = time.monotonic()
    took = []
    for step in range(1, trial.steps + 1):
        x = torch.randn(200, 200)
        (x @ x).sum().item()
        at = time.monotonic()
        trial.report(step, 1.0 / step)
        took.append(time.monotonic() - at)
    with open("times.txt", "a") as file:
        print(began, *took, time.monotonic(), file=file)
"""


def main(trials: int) -> None:
    """Run `trials` trials in one slot and print the figures."""
    with tempfile.TemporaryDirectory() as name, ServerProcess(Path(name)) as server:
        folder = Path(name)
        (folder / "code_gap.py").write_text(CODE)
        server.call("POST", "/studies", study(trials))
        with WorkerProcess(
            folder, server.url, server.token, until_idle=0.5, preload=True
        ) as worker:
            worker.wait(600)
        lines = (folder / "times.txt").read_text().splitlines()
    rows = [[float(word) for word in line.split()] for line in lines]
    print(f"{len(rows)} trials of {REPORTS} reports")
    gaps = [after[0] - before[-1] for before, after in itertools.pairwise(rows)]
    show("gap between trials", gaps)
    show("report round trip", [took for row in rows for took in row[1:-1]])


def study(trials: int) -> dict[str, object]:
    """Return a study whose trials run in one slot, one after another."""
    return {
        "api_version": "v1",
        "name": "gap",
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "budget": {"trials": trials, "steps": REPORTS, "parallel": 1},
        "run": {"entrypoint": "code_gap:main"},
    }


def show(what: str, seconds: list[float]) -> None:
    """Print the distribution of some durations."""
    ms = sorted(1000 * one for one in seconds)
    p95 = ms[int(0.95 * (len(ms) - 1))]
    print(f"{what}: median {statistics.median(ms):.1f} ms, 95 % {p95:.1f}, largest {ms[-1]:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
