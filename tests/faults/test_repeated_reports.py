"""A report can be sent again: thrice, shuffled, side by side; it counts once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.faults.light import Book, Rounds, Tally, serving, study
from tests.serving import ServerProcess

PROMISE = "A report can be sent again"
COPIES, STEPS, GROUP = 3, 24, 8
HALVING = [{"name": "halve_on_plateau", "patience": 1}]
Item = dict[str, Any]
Decision = tuple[str, float]


class Leased(NamedTuple):
    """A trial of an own loop."""

    study: str
    number: int
    lease: str


class Loop:
    """Asks for trials and reports them, as somebody's own loop would, over HTTP."""

    def __init__(self, server: ServerProcess) -> None:
        limits = httpx.Limits(max_connections=32)
        self.http = httpx.AsyncClient(
            base_url=f"{server.url}/api/v1", trust_env=False, timeout=60.0, limits=limits,
            headers={"Authorization": f"Bearer {server.token}"},
        )  # fmt: skip

    async def ask(self, name: str) -> Leased:
        """Lease a trial."""
        reply = await self.http.post(f"/studies/{name}/ask", json={})
        (grant,) = reply.json()["leases"]
        return Leased(name, grant["number"], grant["lease"])

    async def send(self, items: list[Item]) -> list[Decision | str]:
        """Send reports in one request; return decisions, or the slugs of problems."""
        reply = await self.http.post("/reports", json={"reports": items})
        assert reply.status_code == 200, reply.text
        return [_said(result) for result in reply.json()["results"]]

    async def finish(self, trial: Leased) -> str:
        """End a trial with what it reported."""
        reply = await self.http.post(f"/leases/{trial.lease}/finish", json={"attempt": 1})
        return f"{reply.status_code} {reply.text}"


def _said(result: dict[str, Any]) -> Decision | str:
    if result["problem"] is not None:
        return str(result["problem"]["type"]).rpartition("/")[2]
    decision = result["decision"]
    return str(decision["action"]), float(decision["lr_factor"])


def _item(trial: Leased, step: int, value: float, level: float) -> Item:
    return {
        "lease": trial.lease, "attempt": 1, "step": step, "value": value, "lr_factor": level,
    }  # fmt: skip


def _curve(seed: int) -> list[float]:
    """Return values that improve every third step or so."""
    rng, best, values = random.Random(seed), 10.0, []
    for _ in range(STEPS):
        best -= rng.choice([0.0, 0.0, 0.5])
        values.append(best)
    return values


async def _once(loop: Loop, items: list[Item], trial: Leased) -> list[Decision | str]:
    """Send reports one by one, for another trial; return what was said."""
    said = []
    for item in items:
        said += await loop.send([{**item, "lease": trial.lease}])
    return said


async def _in_order(loop: Loop, seed: int) -> tuple[list[Item], list[str]]:
    """Send each report thrice side by side, with earlier ones between; compare with once each."""
    rng, wrong = random.Random(seed), []
    trial, items, level = await loop.ask("thrice"), list[Item](), 1.0
    said: list[Decision | str] = []
    for step, value in enumerate(_curve(seed), 1):
        items.append(_item(trial, step, value, level))
        old = rng.choices(items, k=2)
        sends = [loop.send([one]) for one in (*[items[-1]] * COPIES, *old)]
        answers = [one for (one,) in await asyncio.gather(*sends)]
        said.append(answers[0])
        if len(set(answers[:COPIES])) > 1 or any(isinstance(a, str) for a in answers):
            wrong.append(f"step {step} of {trial.number}: {answers}")
        assert isinstance(answers[0], tuple)
        level = answers[0][1]
    once = await _once(loop, items, await loop.ask("once"))
    if said != once:
        wrong.append(f"trial {trial.number}: {said} thrice, {once} once")
    return items, wrong + await _close(loop, trial)


async def _shuffled(loop: Loop, items: list[Item], seed: int) -> list[str]:
    """Send a trial's reports thrice in one shuffled request; compare with the first of each."""
    trial, wrong = await loop.ask("thrice"), []
    batch = [{**item, "lease": trial.lease} for item in items] * COPIES
    random.Random(seed).shuffle(batch)
    said = await loop.send(batch)
    first: dict[int, int] = {}
    for place, item in enumerate(batch):
        first.setdefault(item["step"], place)
    once = await _once(loop, [batch[place] for place in first.values()], await loop.ask("once"))
    if [said[place] for place in first.values()] != once:
        wrong.append(f"trial {trial.number}: {said} thrice, {once} once")
    return wrong + await _close(loop, trial)


async def _mixed(loop: Loop, curves: list[list[Item]], seed: int) -> list[str]:
    """Send the reports of several trials thrice, in shuffled requests side by side."""
    rng = random.Random(seed)
    trials = [await loop.ask("mixed") for _ in curves]
    every = [
        {**item, "lease": trial.lease}
        for trial, items in zip(trials, curves, strict=True)
        for item in items * COPIES
    ]
    rng.shuffle(every)
    parts = [every[k : k + 7] for k in range(0, len(every), 7)]
    said = [one for some in await asyncio.gather(*map(loop.send, parts)) for one in some]
    wrong = [f"refused: {one}" for one in said if isinstance(one, str)]
    for trial in trials:
        again = await loop.send([one for one in every if one["lease"] == trial.lease])
        if len(set(again)) > 1:
            wrong.append(f"trial {trial.number}: {again}")
        wrong += await _close(loop, trial)
    return wrong


async def _close(loop: Loop, trial: Leased) -> list[str]:
    ends = await asyncio.gather(*(loop.finish(trial) for _ in range(COPIES)))
    return [] if len(set(ends)) == 1 and ends[0].startswith("200") else [str(ends)]


async def _all(server: ServerProcess, groups: int) -> tuple[list[list[Item]], list[str]]:
    """Send the reports of groups of trials side by side; return the reports, and what was wrong."""
    curves: list[list[Item]] = []
    wrong: list[str] = []
    loop = Loop(server)
    async with loop.http:
        for k in range(groups):
            seeds = range(k * GROUP, (k + 1) * GROUP)
            ordered = await asyncio.gather(*(_in_order(loop, seed) for seed in seeds))
            of_group = [items for items, _ in ordered]
            both = zip(of_group, seeds, strict=True)
            shuffled = await asyncio.gather(*(_shuffled(loop, items, seed) for items, seed in both))
            found = [*(some for _, some in ordered), *shuffled, await _mixed(loop, of_group, k)]
            wrong += [one for some in found for one in some]
            curves += of_group
        other = await loop.ask("mixed")
        await loop.send([_item(other, 1, 1.0, 1.0)])
        assert await loop.send([_item(other, 1, 2.0, 1.0)]) == ["report-mismatch"]
        await _close(loop, other)
    return curves, wrong


def _rows(book: Book, curves: list[list[Item]]) -> list[str]:
    """Return what is not stored exactly once."""
    query = """
        SELECT study_name, number, step, r.value, r.lr_factor FROM tuner_reports r
        JOIN tuner_trials USING (trial_id) JOIN studies USING (study_id)
    """
    stored = Counter(book.rows(query))
    wrong = [f"{row} is there {n} times" for row, n in stored.items() if n > 1]
    want = Counter((i["step"], i["value"], i["lr_factor"]) for items in curves for i in items)
    for name, times in (("thrice", 2), ("once", 2), ("mixed", 1)):
        there = Counter(row[2:] for row in stored.elements() if row[0] == name)
        extra = 1 if name == "mixed" else 0  # the one that was changed afterwards
        if sum(((there - _times(want, times)) + (_times(want, times) - there)).values()) > extra:
            wrong.append(f"the reports of {name!r} are not those sent")
    return wrong


def _times(of: Counter[Any], times: int) -> Counter[Any]:
    return Counter({key: n * times for key, n in of.items()})


def test_reports_sent_thrice(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    groups = rounds(10, 1)
    spec = study("", run="external", policies=HALVING)
    with serving(tmp_path, {"lease": 600.0}) as (server, book):
        for name in ("thrice", "once", "mixed"):
            server.call("POST", "/studies", {**spec, "name": name})
        curves, wrong = asyncio.run(_all(server, groups))
        wrong += _rows(book, curves)
        halved = book.number("SELECT count(*) FROM tuner_events WHERE kind = 'halved'")
    print(*wrong, sep="\n")
    note = f"each {COPIES} times: in order, shuffled, across trials; {halved} cuts decided"
    tally(PROMISE, 3 * groups * GROUP * STEPS, len(wrong), note)
    assert wrong == []
    assert halved
