"""Check on real GPUs that trials share one, and that several processes train on several.

    python benchmarks/gpu_sharing_check.py            # needs CUDA; the NCCL check needs two GPUs
    python benchmarks/gpu_sharing_check.py --pretend  # the same flow on the CPU: GPUs by name only

Runs a real server and a real worker. Checks that trials of a quarter share one GPU; that a trial
that runs out of memory beside another is tried again alone; that two processes train on two GPUs by
NCCL, with equal weights. Ends with status 1 if a check fails, 2 if there is no CUDA device. It has
not been run on real GPUs yet.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.worker_process import WorkerProcess, wait_until  # noqa: E402
from tests.serving import ServerProcess  # noqa: E402

PATIENCE_S = 600.0
CODE = """
import json, os, time
from pathlib import Path
import torch

CUDA = torch.cuda.is_available()

def tell(trial, **about):
    about |= {"study": trial.study, "seen": os.environ.get("CUDA_VISIBLE_DEVICES")}
    name = f"{trial.study}-{trial.number}-{trial.attempt}-{getattr(trial, 'rank', 0)}"
    Path(name + ".tmp").write_text(json.dumps(about))
    os.rename(name + ".tmp", name + ".json")

def quarter(trial):
    began = time.monotonic()
    if CUDA:
        held = torch.empty(2 << 30, dtype=torch.uint8, device="cuda")
        x = torch.randn(2048, 2048, device="cuda")
        while time.monotonic() < began + 5:
            (x @ x).sum().item()
    else:
        time.sleep(1.0)
    trial.report(1, 1.0)
    tell(trial, began=began, ended=time.monotonic())

def most_of_the_memory():
    size = int(torch.cuda.mem_get_info()[1] * 0.6)
    return torch.empty(size, dtype=torch.uint8, device="cuda")

def hungry(trial):
    if trial.number == 0:
        Path("holding").touch()
        if CUDA:
            held = most_of_the_memory()
        while not Path("released").exists():
            time.sleep(0.05)
    else:
        while not Path("holding").exists():
            time.sleep(0.05)
        if CUDA:
            time.sleep(3.0)
            held = most_of_the_memory()
        elif trial.attempt == 1:
            raise torch.OutOfMemoryError("pretended")
    trial.report(1, 1.0)
    tell(trial)

def both(trial):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel
    dist.init_process_group("nccl" if CUDA else "gloo")
    device = torch.device("cuda", trial.rank) if CUDA else torch.device("cpu")
    torch.manual_seed(trial.seed)
    net = DistributedDataParallel(torch.nn.Linear(64, 64).to(device))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for step in range(1, 6):
        torch.manual_seed(step * 10 + trial.rank)
        loss = net(torch.randn(32, 64, device=device)).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(step, loss.item())
    tell(trial, weights=sum(p.double().sum().item() for p in net.parameters()))
    dist.destroy_process_group()
"""
Found = list[tuple[str, str, bool]]


def submit(server: ServerProcess, name: str, trials: int, **run: Any) -> int:
    """Submit a study of one of the functions above; return its id."""
    spec = {
        "name": name,
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 0.1, "max": 0.2}},
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
        "policies": [],
        "budget": {"trials": trials},
        "retry": {"max": 0},
        "run": {"entrypoint": f"code_check:{name}", **run},
    }
    study: int = server.call("POST", "/studies", spec)["id"]
    return study


def finished(server: ServerProcess, study: int) -> bool:
    """Tell whether a study is over."""
    return bool(server.call("GET", f"/studies/{study}")["state"] == "finished")


def told(folder: Path, study: str) -> list[dict[str, Any]]:
    """Return what a study's trials told."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{study}-*.json"))]


def check_quarters(server: ServerProcess, folder: Path) -> Found:
    """Run eight trials of a quarter on one GPU."""
    study = submit(server, "quarter", 8, gpus=0.25)
    wait_until(lambda: finished(server, study), "quarters ran", PATIENCE_S)
    ran = told(folder, "quarter")
    most = max(sum(a["began"] <= b["began"] < a["ended"] for a in ran) for b in ran)
    return [
        ("trials of a quarter at a time on one GPU", str(most), 4 <= most <= 8),
        ("trials of a quarter that ended", str(len(ran)), len(ran) == 8),
    ]


def check_oom(server: ServerProcess, folder: Path) -> Found:
    """Let one of two trials run out of memory beside the other."""
    study = submit(server, "hungry", 2, gpus=0.5)
    path = f"/studies/{study}/trials/1"

    def given_back() -> bool:
        listed = server.call("GET", f"/studies/{study}/trials")["items"]
        if len(listed) < 2:
            return False
        return any(e["kind"] == "released" for e in server.call("GET", path)["events"])

    wait_until(given_back, "one is given back", PATIENCE_S)
    (folder / "released").touch()
    wait_until(lambda: finished(server, study), "both ran", PATIENCE_S)
    trial = server.call("GET", path)
    shares = [e["data"].get("share") for e in trial["events"] if e["kind"] == "released"]
    passed = shares == [1.0] and trial["outcome"] == "complete" and trial["attempt"] == 2
    return [("out of memory beside another", f"{trial['outcome']}, shares {shares}", passed)]


def check_two_gpus(server: ServerProcess, folder: Path) -> Found:
    """Train in two processes on two GPUs."""
    study = submit(server, "both", 1, gpus=2)
    wait_until(lambda: finished(server, study), "both ran", PATIENCE_S)
    trial = server.call("GET", f"/studies/{study}/trials/0")
    ranks = told(folder, "both")
    same = len(ranks) == 2 and ranks[0]["weights"] == ranks[1]["weights"]
    passed = trial["outcome"] == "complete" and len(trial["reports"]) == 5 and same
    measured = f"{trial['outcome']}, {len(trial['reports'])} reports, sees {ranks[0]['seen']}"
    return [("two processes on two GPUs, equal weights", measured, passed)]


def main(arguments: Sequence[str]) -> int:
    """Run all checks."""
    import torch

    pretend = "--pretend" in arguments
    count = 2 if pretend else torch.cuda.device_count()
    if not count:
        print("there is no CUDA device")
        return 2
    found: Found = []
    with tempfile.TemporaryDirectory() as name, ServerProcess(Path(name)) as server:
        folder = Path(name)
        (folder / "code_check.py").write_text(CODE)
        one = ["0"] if pretend else ["all"] if count == 1 else ["0"]
        with WorkerProcess(folder, server.url, server.token, slots=8, gpus=one) as worker:
            found += check_quarters(server, folder)
            found += check_oom(server, folder)
            worker.terminate()
            worker.wait()
        if count >= 2:
            with WorkerProcess(folder, server.url, server.token, gpus=["0", "1"]) as worker:
                found += check_two_gpus(server, folder)
                worker.terminate()
                worker.wait()
    for what, measured, passed in found:
        print(f"{'ok    ' if passed else 'FAILED'} {what}: {measured}")
    if count < 2:
        print("there is one GPU: two processes were not tried")
    return 0 if all(passed for _, _, passed in found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
