"""The slots of a worker share the cores, unless the user said how many threads they take."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.e2e.bench import Bench
from tests.e2e.fake_server import FakeServer

CORES = len(os.sched_getaffinity(0))
CODE = """
import json, os
import torch
def main(trial):
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    seen = [int(os.environ[name]) for name in names]
    json.dump([*seen, torch.get_num_threads()], open("threads", "w"))
    return 1.0
"""


@pytest.mark.parametrize(
    ("slots", "named", "threads"),
    [(1, "", CORES), (CORES, "", 1), (2 * CORES, "", 1), (1, "3", 3), (2, "3", 3)],
)
def test_a_trial_gets_its_share_of_the_cores(
    tmp_path: Path, slots: int, named: str, threads: int
) -> None:
    unset = dict.fromkeys(("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "")
    with FakeServer() as server:
        bench = Bench(tmp_path, server)
        bench.code(CODE)
        server.add("code_main:main")
        bench.run(slots=slots, env={"OMP_NUM_THREADS": named, **unset})
    assert json.loads((tmp_path / "threads").read_text()) == [threads] * 4
