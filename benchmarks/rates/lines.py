"""What was measured as lines: ours beside a peer, their ratio, the goal, and whether it is met.

A line's figures are medians over the rounds; a ratio is the median of the rounds' own ratios, since
a round's measurements lie side by side.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from benchmarks.rates.database import GROUP
from benchmarks.rates.rounds import Form

Round = Mapping[str, Any]
Figure = Callable[[Round], float]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a line's `on` ("ratio" or "ours") is to be: `least` at least, `most` at most.

    Below `floor` the work is not done; from there to `least` it is short of its goal.
    """

    on: str = "ratio"
    least: float | None = None
    most: float | None = None
    floor: float | None = None

    def text(self) -> str:
        """Say the goal."""
        sign, bound = ("≥", self.least) if self.least is not None else ("≤", self.most)
        subject = "" if self.on == "ratio" else f"{self.on} "
        floor = f" (at least {self.floor:g})" if self.floor is not None else ""
        return f"{subject}{sign} {_bound(bound)}{floor}"

    def verdict(self, value: float) -> str:
        """Judge a value."""
        if (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        ):
            return "met"
        return "above the floor" if self.floor is not None and value >= self.floor else "NOT met"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line before it is worked out.

    Its ratio is ours over the peer's; of a `cost` the peer's over ours: how many times cheaper.
    """

    group: str
    name: str
    unit: str
    ours: Figure
    peer: Figure | None = None
    peer_name: str = ""
    goal: Goal | None = None
    cost: bool = False

    def worked_out(self, rounds: Sequence[Round]) -> dict[str, Any]:
        """Return the line's figures as JSON."""
        ours = [self.ours(r) for r in rounds]
        peers = [self.peer(r) for r in rounds] if self.peer is not None else []
        pairs = zip(peers, ours, strict=False) if self.cost else zip(ours, peers, strict=False)
        ratios = [a / b if b else 0.0 for a, b in pairs]
        value, ratio = statistics.median(ours), statistics.median(ratios) if ratios else None
        judged = value if self.goal is None or self.goal.on == "ours" else ratio
        return {
            "group": self.group, "name": self.name, "unit": self.unit, "ours": value,
            "peer": statistics.median(peers) if peers else None, "peer_name": self.peer_name,
            "ratio": ratio, "goal": self.goal.text() if self.goal else "",
            "verdict": self.goal.verdict(judged) if self.goal and judged is not None else "",
            "rounds": ours, "ratios": ratios,
        }  # fmt: skip


def of(*path: str) -> Figure:
    """Return what finds a figure by its path."""

    def find(found: Round) -> float:
        value: Any = found
        for name in path:
            value = value[name]
        return float(value)

    return find


def total(key: str) -> Figure:
    """Return what adds up the CPU of a load's processes, the load's own generator left out."""
    return lambda found: sum(
        ms for name, ms in found[key]["cpu_ms"].items() if name != "generator"
    )  # fmt: skip


def all_lines(form: Form) -> list[Line]:
    """Return every line, in order."""
    return [*_trials(form), *_growth(form), *_reports(form), *_cpu(form), *_limits(form)]


def _trials(form: Form) -> Iterator[Line]:
    peers = (
        ("postgres", "rdb", f"RDBStorage, {form.processes} processes", Goal(least=25, floor=15)),
        ("postgres", "grpc", f"gRPC proxy, {form.processes} clients", Goal(least=15, floor=8)),
        ("sqlite", "rdb", f"RDBStorage, {form.processes} processes", None),
    )
    for where, peer, peer_name, goal in peers:
        for clients in form.clients:
            yield Line(
                group="trials", name=f"{where}, {clients} clients", unit="trials/s",
                ours=of(f"{where}.load.{clients}", "trials_per_s"),
                peer=of(f"{where}.{peer}", "trials_per_s"), peer_name=peer_name, goal=goal,
            )  # fmt: skip


def _growth(form: Form) -> Iterator[Line]:
    clients = form.clients[0]
    yield Line(
        group="growth", name=f"postgres, n = {form.trials:,}, {clients} clients", unit="trials/s",
        ours=of("postgres.grown", "trials_per_s"),
        peer=of(f"postgres.load.{clients}", "trials_per_s"), peer_name="ours at n = 0",
        goal=Goal(least=0.8),
    )  # fmt: skip
    yield Line(
        group="growth", name=f"postgres, n = {form.trials:,}, {clients} clients: server",
        unit="ms of CPU", ours=of("postgres.grown", "cpu_ms", "server"),
        peer=of(f"postgres.load.{clients}", "cpu_ms", "server"), peer_name="ours at n = 0",
        cost=True,
    )  # fmt: skip
    yield Line(
        group="growth", name=f"TPE ask and finish, n = {form.trials:,}", unit="ms of CPU",
        ours=of("postgres.tpe", "cpu_ms", "server"), goal=Goal(on="ours", most=30),
    )  # fmt: skip


def _reports(form: Form) -> Iterator[Line]:
    for where, rate, most, saturation in (
        ("sqlite", form.sqlite_rate, 100, Goal(on="ours", least=1500)),
        ("postgres", form.postgres_rate, 80, None),
    ):
        group = f"reports, {where}, {form.reporters} clients"
        offered, saturated = f"{where}.offered", f"{where}.saturated"
        yield Line(
            group=group, name=f"held of {rate:,.0f}/s offered", unit="reports/s",
            ours=of(offered, "answered_per_s"), goal=Goal(on="ours", least=0.98 * rate),
        )  # fmt: skip
        yield Line(
            group=group, name="p50", unit="ms", ours=of(offered, "latency_ms", "p50"),
            peer=of(f"{offered}.bare", "latency_ms", "p50"), peer_name="bare route",
        )  # fmt: skip
        p99 = of(offered, "latency_ms", "p99")
        yield Line(group=group, name="p99", unit="ms", ours=p99, goal=Goal(on="ours", most=most))
        yield Line(
            group=group, name="p99 beside a bare route", unit="ms", ours=p99,
            peer=of(f"{offered}.bare", "latency_ms", "p99"), peer_name="bare route",
            goal=Goal(most=4),
        )  # fmt: skip
        rate_of = of(saturated, "answered_per_s")
        yield Line(group=group, name="saturation", unit="reports/s", ours=rate_of, goal=saturation)
        yield Line(
            group=group, name="saturation beside a bare route", unit="reports/s", ours=rate_of,
            peer=of(f"{saturated}.bare", "answered_per_s"), peer_name="bare route",
            goal=Goal(least=1 / 3),
        )  # fmt: skip


def _cpu(form: Form) -> Iterator[Line]:
    for where, peers in (("postgres", ("rdb", "grpc")), ("sqlite", ("rdb",))):
        for clients in form.clients:
            key = f"{where}.load.{clients}"
            for process in ("server", "postgres", "generator"):
                if process != where and process == "postgres":
                    continue
                yield Line(
                    group="CPU of a trial", name=f"{where}, {clients} clients: {process}",
                    unit="ms", ours=of(key, "cpu_ms", process),
                )  # fmt: skip
            for peer in peers:
                peer_key = f"{where}.{peer}"
                yield Line(
                    group="CPU of a trial", cost=True,
                    name=f"{where}, {clients} clients: server and database", unit="ms",
                    ours=total(key), peer_name="RDBStorage" if peer == "rdb" else "gRPC proxy",
                    peer=lambda found, k=peer_key: sum(found[k]["cpu_ms"].values()),  # type: ignore[misc]
                )  # fmt: skip


def _limits(form: Form) -> Iterator[Line]:
    clients = form.clients[-1]
    for where in ("sqlite", "postgres"):
        yield Line(
            group="the bare database", name=f"{where}: commits, one by one", unit="commits/s",
            ours=of(f"{where}.bare", "commits_per_s"),
        )  # fmt: skip
        rows = of(f"{where}.bare", "rows_per_s")
        yield Line(
            group="the bare database", name=f"{where}: rows in groups of {GROUP}", unit="rows/s",
            ours=rows,
        )  # fmt: skip
        for name, key, figure in (
            ("single reports", f"{where}.saturated", "answered_per_s"),
            (f"reports of {clients} workers", f"{where}.load.{clients}", "reports_per_s"),
        ):
            yield Line(
                group="the bare database", name=f"{where}: {name}", unit="reports/s",
                ours=of(key, figure), peer=rows, peer_name="rows/s of the database",
            )  # fmt: skip


def table(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Lay the worked-out lines out."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "ours", "", "peer", "", "ratio", "goal", "verdict"):
        shown.add_column(column, justify="right" if column in ("ours", "peer", "ratio") else "left")
    group = ""
    for line in lines:
        if line["group"] != group:
            group = line["group"]
            shown.add_row(f"[bold]{group}[/bold]")
        style = {"met": "green", "NOT met": "red"}.get(line["verdict"], "yellow")
        shown.add_row(
            f"  {line['name']}", number(line["ours"]), line["unit"], number(line["peer"]),
            line["peer_name"], number(line["ratio"]), line["goal"],
            f"[{style}]{line['verdict']}[/{style}]" if line["verdict"] else "",
        )  # fmt: skip
    return shown


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write the worked-out lines as a table for a page."""
    rows = ["| | ours | beside | | ratio | goal | |", "|---|---|---|---|---|---|---|"]
    group = ""
    for line in lines:
        if line["group"] != group:
            group = line["group"]
            rows.append(f"| **{group}** | | | | | | |")
        ours = f"{number(line['ours'])} {line['unit']}"
        cells = (
            line["name"], ours, number(line["peer"]), line["peer_name"], number(line["ratio"]),
            line["goal"], line["verdict"],
        )  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(rows)


def _bound(value: float | None) -> str:
    assert value is not None
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def number(value: float | None) -> str:
    """Write a figure with three digits that mean something."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_json(form: Form, rounds: Sequence[Round], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that was measured."""
    return {
        "environment": dict(facts),
        "form": asdict(form),
        "lines": [line.worked_out(rounds) for line in all_lines(form)],
        "rounds": list(rounds),
    }
