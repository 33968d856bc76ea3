"""Optuna's own storages under the same trials: processes that ask, report, and tell.

    python -m benchmarks.rates.peer run STORAGE PROCESSES SECONDS [NAME=PID ...]
    python -m benchmarks.rates.peer serve STORAGE PORT

`run` prints the trials told, how many failed on a lock, and CPU time a trial; STORAGE is a database
URL, or grpc:PORT for the proxy, which `serve` is.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import secrets
import sys
import time
import warnings
from collections.abc import Mapping
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import (
    BaseStorage,
    GrpcStorageProxy,
    get_storage,
    run_grpc_proxy_server,
)

from benchmarks.rates.cpu import trees
from benchmarks.rates.study import STEPS, value


def opened(where: str) -> BaseStorage:
    """Open a storage as Optuna's users do."""
    if where.startswith("grpc:"):
        return GrpcStorageProxy(host="localhost", port=int(where.removeprefix("grpc:")))
    return get_storage(where)


def run_trial(study: optuna.Study) -> None:
    """Ask for the five parameters of the default space, report and judge each step, tell.

    A trial that waited long for SQLite's lock may be judged bad; it runs on like the others.
    """
    trial = study.ask()
    trial.suggest_float("lr", 1e-4, 1.0, log=True)
    trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256])
    trial.suggest_float("init_scale", 0.03, 3.0, log=True)
    trial.suggest_float("dropout", 0.0, 0.7)
    trial.suggest_float("clip_norm", 0.5, 20.0, log=True)
    for step in range(1, STEPS + 1):
        trial.report(value(step), step)
        trial.should_prune()
    study.tell(trial, value(STEPS))


def work(where: str, name: str, seconds: float, start: Barrier, told: SimpleQueue[Any]) -> None:
    """Put what `counted` returns, or what it raised."""
    try:
        told.put(counted(where, name, seconds, start))
    except Exception as exc:
        start.abort()
        told.put(repr(exc))


def counted(where: str, name: str, seconds: float, start: Barrier) -> tuple[int, int, float]:
    """Run trials for so long; return how many were told, how many failed, and the seconds."""
    study = optuna.load_study(
        study_name=name,
        storage=opened(where),
        sampler=optuna.samplers.RandomSampler(),
        pruner=optuna.pruners.MedianPruner(),
    )
    start.wait()
    began, done, failed = time.perf_counter(), 0, 0
    while time.perf_counter() - began < seconds:
        try:
            run_trial(study)
        except StorageInternalError:
            failed += 1
        else:
            done += 1
    return done, failed, time.perf_counter() - began


def run(where: str, processes: int, seconds: float, roots: Mapping[str, int]) -> dict[str, Any]:
    """Run trials in so many processes on a new study."""
    fork = multiprocessing.get_context("fork")
    start, told = fork.Barrier(processes + 1), fork.SimpleQueue()
    name = f"peer-{secrets.token_hex(6)}"
    workers = [
        fork.Process(target=work, args=(where, name, seconds, start, told), daemon=True)
        for _ in range(processes)
    ]
    create = fork.Process(target=create_study, args=(where, name))
    create.start()
    create.join()
    for worker in workers:
        worker.start()
    roots = {**roots, "generator": os.getpid()}
    with contextlib.suppress(BrokenBarrierError):
        start.wait(timeout=60)
    before = trees(roots)
    counts = [told.get() for _ in workers]
    if wrong := [count for count in counts if isinstance(count, str)]:
        raise RuntimeError("; ".join(wrong))
    spent = {key: s - before[key] for key, s in trees(roots).items()}
    trials = sum(done for done, _, _ in counts)
    for worker in workers:
        worker.join()
    return {
        "trials": trials,
        "failed": sum(failed for _, failed, _ in counts),
        "trials_per_s": sum(done / took for done, _, took in counts),
        "cpu_ms": {key: 1000 * s / max(1, trials) for key, s in spent.items()},
    }


def create_study(where: str, name: str) -> None:
    """Create the study; in a process of its own, so that no connection is open at a fork."""
    optuna.create_study(study_name=name, storage=opened(where))


def main() -> None:
    """Run what the arguments say."""
    warnings.simplefilter("ignore", ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    what, where, number, *rest = sys.argv[1:]
    if what == "serve":
        run_grpc_proxy_server(get_storage(where), host="localhost", port=int(number))
    else:
        roots = {name: int(pid) for name, _, pid in (pair.partition("=") for pair in rest[1:])}
        print(json.dumps(run(where, int(number), float(rest[0]), roots)))


if __name__ == "__main__":
    main()
