"""One round of measurements: ours, its peers and the bare parts, one after the other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.rates import database
from benchmarks.rates.load import Plan
from benchmarks.rates.processes import (
    Served,
    answered,
    bare_route,
    copied,
    folder,
    grpc_proxy,
    tuner_server,
    upgraded,
)
from benchmarks.rates.reports import Stream
from tests.postgres import Postgres

FULL_STUDY = "full"
Found = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How much is measured. Durations in seconds."""

    rounds: int
    load_s: float
    warm_s: float
    stream_s: float
    peer_s: float
    database_s: float
    trials: int = 10_000
    clients: tuple[int, int] = (8, 32)
    processes: int = 8
    reporters: int = 500
    sqlite_rate: float = 500.0
    postgres_rate: float = 1500.0


FULL = Form(rounds=3, load_s=8, warm_s=2, stream_s=10, peer_s=10, database_s=2)
QUICK = Form(rounds=1, load_s=2, warm_s=0.5, stream_s=2, peer_s=2, database_s=0.3)
TINY = Form(
    rounds=1, load_s=0.2, warm_s=0, stream_s=0.2, peer_s=0.1, database_s=0.05, trials=20,
    clients=(1, 2), processes=2, reporters=4, sqlite_rate=40, postgres_rate=40,
)  # fmt: skip


class Bench:
    """Measures on one PostgreSQL server, with one bare route beside it."""

    def __init__(self, form: Form, postgres: Postgres, bare: Served) -> None:
        self._form = form
        self._postgres = postgres
        self._bare = bare
        with ThreadPoolExecutor() as pool:
            samplers = ("random", "tpe")
            urls = [upgraded(postgres) for _ in samplers]
            list(pool.map(self._prefill, samplers, urls))
            self._full = dict(zip(samplers, urls, strict=True))

    def _prefill(self, sampler: str, url: str) -> None:
        answered("benchmarks.rates.prefill", url, FULL_STUDY, str(self._form.trials), sampler)

    def round(self) -> Found:
        """Measure everything once."""
        return {**self._on_postgres(), **self._grown(), **self._on_sqlite()}

    def _on_postgres(self) -> Found:
        form, found = self._form, {}
        url = upgraded(self._postgres)
        with tuner_server(url) as server:
            for clients in form.clients:
                found[f"postgres.load.{clients}"] = self._load(server, clients=clients)
            found |= self._streams("postgres", server, form.postgres_rate)
        with self._empty() as url:
            found["postgres.rdb"] = self._peer(url)
        with self._empty() as url, grpc_proxy(url) as proxy:
            found["postgres.grpc"] = self._peer(proxy.url, proxy=proxy.pid)
        with self._empty() as url:
            found["postgres.bare"] = database.postgres_rates(url, form.database_s)
        return found

    def _grown(self) -> Found:
        """Measure a study with many trials behind it."""
        found: Found = {}
        clients = self._form.clients[0]
        with copied(self._postgres, self._full["random"]) as url, tuner_server(url) as server:
            found["postgres.grown"] = self._load(server, clients=clients, study=FULL_STUDY)
        with copied(self._postgres, self._full["tpe"]) as url, tuner_server(url) as server:
            asks: Mapping[str, Any] = {"clients": 1, "slots": 1, "steps": 0, "study": FULL_STUDY}
            found["postgres.tpe"] = self._load(server, **asks)
        return found

    def _on_sqlite(self) -> Found:
        form, found = self._form, {}
        with folder() as place:
            with tuner_server(f"sqlite:///{place / 'tuner.db'}") as server:
                for clients in form.clients:
                    found[f"sqlite.load.{clients}"] = self._load(server, clients=clients)
                found |= self._streams("sqlite", server, form.sqlite_rate)
            found["sqlite.rdb"] = self._peer(f"sqlite:///{place / 'optuna.db'}")
            found["sqlite.bare"] = database.sqlite_rates(Path(place / "bare.db"), form.database_s)
        return found

    def _streams(self, where: str, server: Served, rate: float) -> Found:
        found: Found = {}
        for name, offered in (("offered", rate), ("saturated", None)):
            found[f"{where}.{name}"] = self._stream(server, offered, leased=True)
            found[f"{where}.{name}.bare"] = self._stream(self._bare, offered, leased=False)
        return found

    def _load(self, server: Served, **options: Any) -> Found:
        plan = Plan(
            url=server.url, token=server.token, seconds=self._form.load_s, warm=self._form.warm_s,
            roots=self._roots(server), **options,
        )  # fmt: skip
        found = self._asked("benchmarks.rates.load", plan)
        if found["stopped"]:
            raise RuntimeError(f"{found['stopped']} trials were stopped before their last report")
        return found

    def _stream(self, server: Served, rate: float | None, *, leased: bool) -> Found:
        plan = Stream(
            url=server.url, token=server.token, clients=self._form.reporters, rate=rate,
            seconds=self._form.stream_s, warm=self._form.warm_s, leased=leased,
            roots=self._roots(server) if leased else {"server": server.pid},
        )  # fmt: skip
        return self._asked("benchmarks.rates.reports", plan)

    def _peer(self, where: str, **roots: int) -> Found:
        pids = [f"{k}={v}" for k, v in {"postgres": self._postgres.pid, **roots}.items()]
        args = (where, str(self._form.processes), str(self._form.peer_s), *pids)
        found: Found = answered("benchmarks.rates.peer", "run", *args)
        return found

    def _roots(self, server: Served) -> dict[str, int]:
        assert self._postgres.pid is not None
        return {"server": server.pid, "postgres": self._postgres.pid}

    @staticmethod
    def _asked(module: str, plan: Plan | Stream) -> Found:
        found: Found = answered(module, json.dumps(asdict(plan)))
        return found

    @contextmanager
    def _empty(self) -> Iterator[str]:
        name = self._postgres.new_database()
        yield self._postgres.url(name)
        self._postgres.drop_database(name)


def measured(form: Form, say: Callable[[str], object]) -> list[Found]:
    """Measure in all rounds; `say` is told which one begins."""
    with Postgres(durable=True) as postgres, bare_route() as bare:
        say("laying in the trials")
        bench = Bench(form, postgres, bare)
        rounds = []
        for number in range(1, form.rounds + 1):
            say(f"round {number} of {form.rounds}")
            rounds.append(bench.round())
        return rounds
