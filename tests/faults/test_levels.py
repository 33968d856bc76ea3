"""Decisions are levels: whatever the network does to replies, the worker trains as was decided."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.light import PATIENCE_S, Book, Rounds, Tally, serving, study
from tests.faults.nodes import Node
from tests.proxy import Fault, Proxy

PROMISE = "Decisions are levels, not edges"
STEPS = 20
FAULTS = [fault for fault in Fault if fault is not Fault.NONE]
CODE = """
import torch

def main(trial):
    data = torch.Generator().manual_seed(trial.seed)
    inputs = torch.randn(256, 8, generator=data)
    targets = inputs.sum(1, keepdim=True) + 0.5 * torch.randn(256, 1, generator=data)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=trial.params["lr"])
    with open(f"applied-{trial.number}-{trial.attempt}", "x") as applied:
        for step in range(1, trial.steps + 1):
            for group in optimizer.param_groups:
                group["lr"] = trial.params["lr"] * trial.lr_factor
            for rows in torch.randperm(256, generator=data).split(32):
                optimizer.zero_grad()
                loss = torch.nn.functional.mse_loss(model(inputs[rows]), targets[rows])
                loss.backward()
                optimizer.step()
            print(step, repr(optimizer.param_groups[0]["lr"]), file=applied, flush=True)
            trial.report(step, loss.item())
"""


def _schedules(book: Book, folder: Path) -> tuple[int, int, list[str]]:
    """Compare the rates that were trained with and those recorded, of all trials.

    Returns:
        How many steps were compared, how many cuts were recorded, and what differs.
    """
    wrong: list[str] = []
    steps = cuts = 0
    for number, attempt, rate in _trials(book):
        query = """
            SELECT step, json_extract(data, '$.new_factor') FROM tuner_events
            WHERE kind = 'halved' AND number = ? ORDER BY seq
        """
        levels = dict(book.rows(query, number))
        query = """
            SELECT step, r.lr_factor FROM tuner_reports r JOIN tuner_trials USING (trial_id)
            WHERE number = ? AND r.attempt = ? ORDER BY step
        """
        said = book.rows(query, number, attempt)
        level, recorded = 1.0, []
        for step in range(1, STEPS + 1):
            recorded.append((step, level))
            level = levels.get(step, level)
        lines = (folder / f"applied-{number}-{attempt}").read_text().splitlines()
        applied = [(int(step), float(lr)) for step, lr in (line.split() for line in lines)]
        if said != recorded or applied != [(step, rate * level) for step, level in recorded]:
            wrong.append(f"trial {number}: {recorded} recorded, {said} said, {applied} applied")
        steps, cuts = steps + len(applied), cuts + len(levels)
    return steps, cuts, wrong


def _trials(book: Book) -> list[tuple[int, int, float]]:
    query = """
        SELECT t.number, attempt, param_value FROM tuner_trials t
        JOIN trial_params USING (trial_id) WHERE param_name = 'lr'
    """
    return [(int(n), int(a), float(v)) for n, a, v in book.rows(query)]


def _spec(trials: int) -> dict[str, Any]:
    return study(
        "code_main:main",
        space={"lr": {"min": 0.05, "max": 0.3}},
        policies=[{"name": "halve_on_plateau", "patience": 0, "threshold": 0.02}],
        budget={"trials": trials, "steps": STEPS},
    )


def test_real_training(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Train for real behind a proxy for each fault; no trial is lost to any."""
    trials = rounds(60, 5)
    (tmp_path / "code_main.py").write_text(CODE)
    waits = {"request_timeout": 0.5, "wait": 0.5, "report_timeout": 120.0, "until_idle": 1.0}
    with serving(tmp_path, {"heartbeat": 0.5}) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", _spec(trials))
        proxies = [stack.enter_context(Proxy(server.url, fault)) for fault in FAULTS]
        nodes = [
            stack.enter_context(
                Node(server, tmp_path, str(proxy.fault), url=proxy.url, slots=1, **waits)
            )
            for proxy in proxies
        ]
        assert [node.wait(PATIENCE_S * 10) for node in nodes] == [0] * len(nodes)
        steps, cuts, wrong = _schedules(book, tmp_path)
        ends = book.rows("SELECT ended_why, count(*) FROM tuner_attempts GROUP BY 1")
    print(*wrong, sep="\n")
    struck = ", ".join(f"{proxy.fault} {proxy.struck}" for proxy in proxies)
    tally(PROMISE, steps, len(wrong), f"steps of real training, {cuts} cuts; struck: {struck}")
    assert (wrong, ends, steps) == ([], [("ended", trials)], trials * STEPS)
    assert cuts
    assert all(proxy.struck for proxy in proxies)
