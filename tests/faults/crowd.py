"""Clients under load: own loops that submit, ask, report, store checkpoints, and end trials.

Each request is sent until it is answered, with the same Idempotency-Key.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import threading
import time
import uuid
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

import httpx

from tests.faults.told import Place, Report, Told, digest

PAUSE_S = 0.02
PATIENCE_S = 120.0
"""A safety net for waiting, no measure."""
STUDY = "crowd"
MOST_STEPS = 9


def external(name: str = STUDY, **more: Any) -> dict[str, Any]:
    """Return a study of own loops, halved and pruned."""
    return {
        "name": name,
        "objective": {"metric": "loss"},
        "space": {"lr": {"min": 1e-4, "max": 1.0, "log": True}},
        "sampler": {"name": "random"},
        "pruner": {"name": "median"},
        "policies": [{"name": "halve_on_plateau", "patience": 1, "threshold": 0.05}],
        "retry": {"max": 1000},
        "budget": {"trials": 1_000_000, "parallel": 100_000, "max_failures": 1_000_000},
        "run": "external",
        **more,
    }


class Server(Protocol):
    """What the crowd talks to."""

    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...
    def call(self, method: str, path: str, body: Any = None) -> Any: ...


class Odd(Exception):
    """An answer that nobody should get; the client that got it ends."""


class Leased(NamedTuple):
    """A trial that a client runs."""

    place: Place
    token: str
    step: int
    """Of the checkpoint it goes on from, else 0."""
    level: float

    @property
    def held(self) -> dict[str, Any]:
        """What each report names."""
        return {"lease": self.token, "attempt": self.place.attempt}


class Crowd:
    """Clients in a thread of their own, until the block ends; then each finishes its request.

    Args:
        server: its address may change.
        clients: how many, each with up to three trials side by side.
        gone: whether connections may fail, because the server itself is killed.
        refusals: the statuses that may be answered for now; they must come with a `Retry-After`.
        checkpoints: the bytes of each, none if 0.
    """

    def __init__(
        self,
        server: Server,
        *,
        clients: int = 6,
        gone: bool = False,
        refusals: Collection[int] = (),
        checkpoints: int = 2_000,
        seed: int = 0,
    ) -> None:
        self.told = Told()
        self.under_way = 0
        """Requests that are sent and not yet answered."""
        self.answered_at = 0.0
        """When a write was acknowledged last, on the monotonic clock."""
        self._server = server
        self._clients, self._gone, self._refusals = clients, gone, frozenset(refusals)
        self._size, self._seed = checkpoints, seed
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="crowd")

    def __enter__(self) -> Self:
        self._server.call("POST", "/studies", external())
        self.told.studies.add(STUDY)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def go_on(self, writes: int) -> None:
        """Wait until so many more writes are acknowledged, or something odd was answered."""
        self.wait(lambda: self.told.writes >= wanted, wanted := self.told.writes + writes)

    def wait(self, until: Callable[[], bool], what: object = "") -> None:
        """Wait for a condition, or until something odd was answered."""
        deadline = time.monotonic() + PATIENCE_S
        while not until() and not self.told.odd:
            assert time.monotonic() < deadline, (what, self.told.writes, self.told.refusals)
            time.sleep(0.002)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=4 * self._clients)
        headers = {"Authorization": f"Bearer {self._server.token}"}
        async with httpx.AsyncClient(
            trust_env=False, timeout=PATIENCE_S, limits=limits, headers=headers
        ) as http:
            seeds = range(self._seed * 1000, self._seed * 1000 + self._clients)
            clients = [_Client(self, http, self._size, seed) for seed in seeds]
            await asyncio.gather(*(self._let(client) for client in clients))

    async def _let(self, client: _Client) -> None:
        try:
            while not self._over.is_set():
                await client.life()
        except Odd as exc:
            self.told.odd.append(str(exc))
        except Exception as exc:
            self.told.odd.append(f"a client failed: {exc!r}")

    async def send(self, http: httpx.AsyncClient, method: str, path: str, **parts: Any) -> bytes:
        """Send until it is answered; return the body."""
        while True:
            self.under_way += 1
            try:
                url = f"{self._server.url}/api/v1{path}"
                reply = await http.request(method, url, **parts)
            except httpx.TransportError as exc:
                if not self._gone:
                    raise Odd(f"{path}: {exc!r}") from exc
                await asyncio.sleep(PAUSE_S)
                continue
            finally:
                self.under_way -= 1
            if reply.is_success:
                self.answered_at = time.monotonic()
                if key := parts.get("headers", {}).get("Idempotency-Key"):
                    self.told.replies[key] = (reply.status_code, digest(reply.content))
                return reply.content
            self._refused(path, reply)
            await asyncio.sleep(PAUSE_S)

    def _refused(self, path: str, reply: httpx.Response) -> None:
        answered_twice = reply.status_code == 409 and "key-in-flight" in reply.text
        for_now = answered_twice or reply.status_code in self._refusals
        if not for_now or "Retry-After" not in reply.headers:
            raise Odd(f"{path}: {reply.status_code} {reply.headers} {reply.text}")
        self.told.refusals[reply.status_code] += 1


class _Client:
    """One of the crowd."""

    def __init__(self, crowd: Crowd, http: httpx.AsyncClient, size: int, seed: int) -> None:
        self._crowd, self._http, self._told = crowd, http, crowd.told
        self._size, self._rng = size, random.Random(seed)

    async def life(self) -> None:
        """Submit a study sometimes, then run up to three trials side by side.

        Some are left as they are, held by their leases.
        """
        if self._rng.random() < 0.1:
            name = f"extra-{uuid.uuid4().hex}"
            await self._keyed("/studies", external(name))
            self._told.studies.add(name)
        wanted = self._rng.randint(1, 3)
        trials = await asyncio.gather(*(self._ask() for _ in range(wanted)))
        level = {trial.token: trial.level for trial in trials}
        first = max(trial.step for trial in trials) + 1
        for step in range(first, first + self._rng.randint(2, MOST_STEPS)):
            trials = await self._report(trials, step, level)
            if trials and self._size and self._rng.random() < 0.15:
                await self._checkpoint(trials[0], step)
        if self._rng.random() > 0.1:
            await asyncio.gather(*(self._end(trial) for trial in trials))

    async def _ask(self) -> Leased:
        (grant,) = (await self._keyed(f"/studies/{STUDY}/ask", {}))["leases"]
        place = Place(grant["study_id"], grant["number"], grant["attempt"])
        self._told.lease(place, grant["lease"])
        resumed = grant["resume"]["step"] if grant["resume"] else 0
        return Leased(place, grant["lease"], resumed, grant["lr_factor"])

    async def _report(
        self, trials: list[Leased], step: int, level: dict[str, float]
    ) -> list[Leased]:
        """Report all in one request; return those that go on."""
        items = [
            {
                **trial.held,
                "step": step,
                "value": self._rng.random(),
                "lr_factor": level[trial.token],
            }
            for trial in trials
        ]
        if not items:
            return []
        results = (await self._post("/reports", {"reports": items}))["results"]
        going = []
        for trial, item, result in zip(trials, items, results, strict=True):
            if (decision := result["decision"]) is None:
                raise Odd(f"{item} is answered {result['problem']}")
            self._told.report(trial.place, Report(item, decision))
            level[trial.token] = decision["lr_factor"]
            if decision["action"] == "continue":
                going.append(trial)
        return going

    async def _checkpoint(self, trial: Leased, step: int) -> None:
        content = self._rng.randbytes(self._size)
        sha256 = hashlib.sha256(content).hexdigest()
        query = f"attempt={trial.place.attempt}&sha256={sha256}"
        await self._crowd.send(
            self._http, "PUT", f"/leases/{trial.token}/checkpoints/{step}?{query}",
            content=content, headers={"Content-Type": "application/octet-stream"},
        )  # fmt: skip
        self._told.checkpoints[trial.place, step] = sha256

    async def _end(self, trial: Leased) -> None:
        """Finish a trial, or give it back: released, or failed and to be tried again."""
        body: dict[str, Any] = {"attempt": trial.place.attempt}
        how = self._rng.choice(["finish", "finish", "release"])
        if how == "finish" and self._rng.random() < 0.3:
            body |= {"outcome": "failed", "retry": True, "error": "ValueError: x"}
        answer = await self._keyed(f"/leases/{trial.token}/{how}", body)
        self._told.ends[trial.place] = (body, answer)

    async def _keyed(self, path: str, body: dict[str, Any]) -> Any:
        return await self._post(path, body, {"Idempotency-Key": uuid.uuid4().hex})

    async def _post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
        crowd = self._crowd
        sent = crowd.send(self._http, "POST", path, json=body, headers=headers or {})
        return httpx.Response(200, content=await sent).json()
