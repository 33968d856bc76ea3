"""The benchmark of bookkeeping, in its smallest form: that it measures, not how much."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

from tests.serving import ROOT, ServerProcess, completed, environment

SCRIPT = str(ROOT / "benchmarks" / "bookkeeping.py")


REPORTS = {
    ("held of 40/s offered", ""): "ours ≥ 39.2",
    ("p50", "bare route"): "",
    ("p99 beside a bare route", "bare route"): "≤ 4",
    ("saturation beside a bare route", "bare route"): "≥ 0.333",
}
RDB, GRPC = "RDBStorage, 2 processes", "gRPC proxy, 2 clients"
GOALS = {
    "trials": {
        ("postgres, 1 clients", RDB): "≥ 25 (at least 15)",
        ("postgres, 2 clients", RDB): "≥ 25 (at least 15)",
        ("postgres, 1 clients", GRPC): "≥ 15 (at least 8)",
        ("postgres, 2 clients", GRPC): "≥ 15 (at least 8)",
        ("sqlite, 1 clients", RDB): "",
        ("sqlite, 2 clients", RDB): "",
    },
    "growth": {
        ("postgres, n = 20, 1 clients", "ours at n = 0"): "≥ 0.8",
        ("postgres, n = 20, 1 clients: server", "ours at n = 0"): "",
        ("TPE ask and finish, n = 20", ""): "ours ≤ 30",
    },
    "reports, sqlite, 4 clients": {
        **REPORTS,
        ("p99", ""): "ours ≤ 100",
        ("saturation", ""): "ours ≥ 1,500",
    },
    "reports, postgres, 4 clients": {
        **REPORTS,
        ("p99", ""): "ours ≤ 80",
        ("saturation", ""): "",
    },
}
"""Goals by name and peer, by group."""


def test_all_figures_are_measured_and_judged(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    command = [sys.executable, SCRIPT, "--tiny", "--json", str(file)]
    ran = completed(command, tmp_path, environment(tmp_path))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(file.read_text())
    assert {"cores", "postgresql", "sqlite", "optuna"} <= found["environment"].keys()

    goals: dict[str, dict[tuple[str, str], str]] = {}
    for line in found["lines"]:
        assert line["name"] in ran.stdout
        assert math.isfinite(line["ours"]), line
        assert (line["ratio"] is None) == (line["peer"] is None) == (not line["peer_name"]), line
        assert bool(line["goal"]) == (line["verdict"] in ("met", "above the floor", "NOT met"))
        goals.setdefault(line["group"], {})[line["name"], line["peer_name"]] = line["goal"]
    assert {group: goals.get(group) for group in GOALS} == GOALS
    assert goals.keys() - GOALS.keys() == {"CPU of a trial", "the bare database"}
    assert {name for name, _ in goals["the bare database"]} >= {
        "sqlite: commits, one by one",
        "sqlite: rows in groups of 100",
        "postgres: commits, one by one",
        "postgres: rows in groups of 100",
    }


def test_a_running_server_can_be_loaded(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        where = ["--url", server.url, "--token", server.token]
        options = ["--clients", "2", "--slots", "2", "--trials", "6"]
        command = [sys.executable, SCRIPT, "load", *where, *options]
        ran = completed(command, tmp_path, environment(tmp_path))
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["trials"] == 6
        (study,) = server.call("GET", "/studies")["items"]
        assert study["counts"]["complete"] == 6
        assert study["state"] == "finished"
