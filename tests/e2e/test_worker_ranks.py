"""Trials of two processes: started by torchrun, on gloo and the CPU, with real workers."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bench import Bench, alive
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import wait_until
from tuner import wire

pytestmark = pytest.mark.filterwarnings("default")
DDP = """
import json, os, signal, time
from pathlib import Path
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

def main(trial):
    dist.init_process_group("gloo")
    torch.manual_seed(trial.seed)
    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    torch.manual_seed(trial.seed + 1 + trial.rank)
    start = trial.restore(model=model, optimizer=optimizer)
    rates, losses = [], []
    for step in range(start + 1, trial.steps + 1):
        x = torch.randn(8, 4)
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * trial.lr_factor
        rates.append(group["lr"])
        x = torch.nn.functional.dropout(x, 0.3)
        loss = model(x).sub(1.0).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        losses.append(mean.item() / 2)
        if trial.report(step, mean.item() / 2).stop:
            break
        if step == 3:
            Path(f"at-3-{trial.attempt}-{trial.rank}").touch()
            while not os.path.exists("on") and not trial.meet():
                time.sleep(0.01)
        if trial.should_stop:
            trial.checkpoint(step, model=model, optimizer=optimizer)
            break
    told = {
        "rates": rates, "losses": losses, "pid": os.getpid(), "launcher": os.getppid(),
        "weights": [p.double().sum().item() for p in model.parameters()],
        "threads": [torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]],
        "env": [os.environ.get(k) for k in ("MASTER_ADDR", "WORLD_SIZE", "CUDA_VISIBLE_DEVICES")],
        "token": "TUNER_TOKEN" in os.environ,
    }
    Path(f"told-{trial.attempt}-{trial.rank}").write_text(json.dumps(told))
    dist.destroy_process_group()
"""
TWO = {"entrypoint": "code_main:main", "processes": 2}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def bench(tmp_path: Path, server: FakeServer) -> Bench:
    return Bench(tmp_path, server)


def told(bench: Bench, attempt: int = 1) -> list[dict[str, Any]]:
    return [json.loads((bench.folder / f"told-{attempt}-{r}").read_text()) for r in (0, 1)]


def wait_for(bench: Bench, *names: str) -> None:
    wait_until(lambda: all((bench.folder / name).exists() for name in names), f"{names}")


def test_two_ranks_report_once_and_train_at_one_rate(bench: Bench) -> None:
    bench.server.decide = lambda item: wire.DecisionView.model_validate(
        {
            "action": "stop" if item.step == 4 else "continue",
            "lr_factor": 0.5 if item.step >= 2 else 1.0,
        }
    )
    bench.code(DDP)
    (bench.folder / "on").touch()
    trial = bench.server.add(TWO, steps=9)
    log = bench.run(slots=1, gpus=["4"], env={"OMP_NUM_THREADS": "4"})
    first, second = told(bench)
    assert [r.step for r in trial.reports] == [1, 2, 3, 4]
    assert [r.lr_factor for r in trial.reports] == [1.0, 1.0, 0.5, 0.5]
    assert [r.value for r in trial.reports] == first["losses"] == second["losses"]
    assert first["rates"] == second["rates"] == [0.05, 0.05, 0.025, 0.025]
    assert first["weights"] == second["weights"]
    assert first["env"] == ["127.0.0.1", "2", "4"]
    assert first["threads"] == second["threads"] == [2, "2"]
    assert not first["token"]
    assert [f.outcome for f in trial.finishes] == ["complete"]
    assert "fake #0 complete at step 4" in log
    assert not any(alive(one[key]) for one in (first, second) for key in ("pid", "launcher"))


def test_two_ranks_saved_by_a_sigterm_end_as_if_undisturbed(tmp_path: Path) -> None:
    found = []
    for disturbed in (False, True):
        folder = tmp_path / f"disturbed-{disturbed}"
        folder.mkdir()
        with FakeServer() as server:
            bench = Bench(folder, server)
            bench.code(DDP)
            trial = server.add(TWO, steps=6)
            if disturbed:
                with bench.worker() as worker:
                    wait_for(bench, "at-3-1-0", "at-3-1-1")
                    worker.terminate()
                    assert worker.wait() == 0
                assert [step for step, _ in trial.checkpoints] == [3]
                assert (len(trial.releases), trial.finishes) == (1, [])
            (folder / "on").touch()
            bench.run()
            assert [f.outcome for f in trial.finishes] == ["complete"]
            first, second = told(bench, 1 + disturbed)
            assert first["weights"] == second["weights"]
            found.append(([r.value for r in trial.reports], first["weights"]))
    assert found[0] == found[1]


ENDS = """
import os, signal, time
def main(trial):
    print(os.getpid(), os.getppid(), file=open(f"pids-{trial.rank}", "w"))
    trial.report(1, 1.0)
    if trial.rank == 1:
        BODY
    trial.report(2, 0.5)
"""


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('broken')", ["Traceback", "\nrank 1: ValueError: broken"]),
        ("os.kill(os.getpid(), signal.SIGKILL)", ["rank 1 (process", "SIGKILL"]),
        ("trial.report(3, 1.0)", ["report(step 3)", "report(step 2)"]),
    ],
)
def test_a_rank_that_comes_apart_ends_the_trial(bench: Bench, body: str, said: list[str]) -> None:
    bench.code(ENDS.replace("BODY", body))
    trial = bench.server.add(TWO)
    bench.run()
    (finish,) = trial.finishes
    assert (finish.outcome, finish.retry) == ("failed", True)
    assert all(one in finish.error for one in said), finish.error
    assert len(trial.reports) == 1
    _nothing_is_left(bench)


def test_a_rank_that_hangs_is_ended(bench: Bench) -> None:
    bench.code(ENDS.replace("BODY", "time.sleep(600)"))
    trial = bench.server.add({**TWO, "progress_timeout": 16.0})
    bench.run(kill_grace=1.0)
    (finish,) = trial.finishes
    assert finish.outcome == "failed"
    assert "rank 1 did not come within 8 s while rank 0 waits in report(step 2)" in finish.error
    _nothing_is_left(bench)


def test_ranks_die_with_a_worker_that_is_killed(bench: Bench) -> None:
    bench.code(ENDS.replace("BODY", "time.sleep(600)"))
    bench.server.add(TWO)
    with bench.worker() as worker:
        wait_for(bench, "pids-0", "pids-1")
        worker.process.send_signal(signal.SIGKILL)
        worker.wait()
    _nothing_is_left(bench)


def test_an_entrypoint_must_be_allowed_and_there(bench: Bench) -> None:
    refused = bench.server.add({"entrypoint": "other:main", "processes": 2})
    absent = bench.server.add({"entrypoint": "code_main:absent", "processes": 2})
    bench.code("")
    bench.run()
    assert "does not allow the entrypoint other:main" in refused.finishes[0].error
    assert "code_main has no function absent" in absent.finishes[0].error
    assert not refused.finishes[0].retry
    assert not absent.finishes[0].retry


def _nothing_is_left(bench: Bench) -> None:
    pids = [int(pid) for rank in (0, 1) for pid in bench.words(f"pids-{rank}")]
    assert len(pids) == 4
    wait_until(lambda: not any(alive(pid) for pid in pids), "all processes are gone")
