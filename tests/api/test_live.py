"""Event streams over breaks, kills and takeovers: nothing is missed, nothing comes twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import httpx

from tests.api.conftest import external
from tests.api.live_stream import HEADERS, PATIENCE_S, stored, stored_all, stream, told, until
from tests.serving import ServerProcess
from tuner.client import Client
from tuner.client.live import frames
from tuner.wire import EventView


def busy(server: ServerProcess, stop: threading.Event) -> None:
    """Pause and resume studies, whether the server is there or not."""
    http = httpx.Client(
        base_url=f"{server.url}/api/v1", headers=HEADERS, trust_env=False, timeout=30.0
    )
    with http:
        for n in range(100_000):
            if stop.is_set():
                return
            state = "paused" if n // 2 % 2 == 0 else "running"
            with suppress(httpx.TransportError):
                http.patch(f"/studies/{'ab'[n % 2]}", json={"state": state})


class Cut:
    """A listener that breaks off at random places, and resumes."""

    def __init__(self, server: ServerProcess, path: str, seed: int) -> None:
        self.seen: list[int] = []
        self.breaks = 0
        self._random = random.Random(seed)
        self._server = server
        self._path = path
        self._last: str | None = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            with suppress(httpx.TransportError):
                self._listen(self._random.randrange(4_000))

    def _listen(self, most_bytes: int) -> None:
        headers = {"Last-Event-ID": self._last} if self._last else {}
        after = "" if self._last else "?after=0"
        with stream(self._server, self._path + after, **headers) as response:
            if response.status_code != 200:
                return
            for frame in frames(self._lines(response, most_bytes)):
                assert frame.kind != "reset", frame
                if frame.id is not None:
                    self._last = frame.id
                if frame.kind == "event":
                    self.seen.append(EventView.model_validate_json(frame.data).seq)
        self.breaks += 1

    def _lines(self, response: httpx.Response, most: int) -> Iterator[str]:
        for line in response.iter_lines():
            most -= len(line)
            if most < 0 or self.stop.is_set():
                return
            yield line


def test_a_listener_cut_anywhere_sees_each_event_once_while_the_server_is_killed(
    tmp_path: Path,
) -> None:
    with ServerProcess(tmp_path) as server:
        for name in "ab":
            server.call("POST", "/studies", external(name))
        paths = ["/events", "/events", "/studies/a/events"]
        cuts = [Cut(server, path, seed) for seed, path in enumerate(paths)]
        stop = threading.Event()
        writer = threading.Thread(target=busy, args=(server, stop))
        writer.start()
        for _ in range(3):
            before = [len(c.seen) for c in cuts]
            goal = [n + 40 for n in before]
            until(partial(have, cuts, goal))
            server.kill()
            server.start()
        stop.set()
        writer.join()
        everything, ofa = stored_all(server), stored_all(server, "a")
        until(
            lambda: all(
                c.seen[-1:] == x[-1:] for c, x in zip(cuts, [everything] * 2 + [ofa], strict=False)
            )
        )
        for cut in cuts:
            cut.stop.set()
        server.call("PATCH", "/studies/a", {"priority": 3})  # wakes those who wait for news
        for cut in cuts:
            cut.thread.join()
            assert cut.breaks > 5
        assert cuts[0].seen[: len(everything)] == everything
        assert cuts[1].seen[: len(everything)] == everything
        assert cuts[2].seen[: len(ofa)] == ofa


def have(cuts: list[Cut], goal: list[int]) -> bool:
    """Tell whether each listener has seen more events than its goal."""
    return all(len(cut.seen) > n for cut, n in zip(cuts, goal, strict=True))


def test_the_python_client_goes_on_over_a_restart(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", external("a"))
        heard: list[EventView] = []

        def listen() -> None:
            with Client(server.url, server.token) as client:
                for event in client.events("a", after=0):
                    heard.append(event)
                    if event.kind == "extended":
                        return

        listener = threading.Thread(target=listen)
        listener.start()
        until(lambda: len(heard) == 1)
        server.kill()
        server.start()
        server.call("PATCH", "/studies/a", {"state": "paused"})
        server.call("POST", "/studies/a/extend", {"trials": 1})
        listener.join(PATIENCE_S)
        assert not listener.is_alive()
        assert [e.seq for e in heard] == stored(server, "a")


def test_a_standby_goes_on_where_the_owner_was_killed(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    url = f"sqlite:///{tmp_path}/tuner.db"
    with ServerProcess(tmp_path, "--db", url) as owner:
        owner.call("POST", "/studies", external("a"))
        with ServerProcess(tmp_path / "two", "--db", url, "--standby") as other:
            with stream(owner, "/events?after=0") as response:
                (first,) = told(response, "event", 1)
            owner.call("PATCH", "/studies/a", {"state": "paused"})
            owner.kill()
            until(lambda: httpx.get(f"{other.url}/readyz").status_code == 200)
            other.call("PATCH", "/studies/a", {"state": "running"})
            with stream(other, **{"Last-Event-ID": first.id or ""}) as response:
                found = [EventView.model_validate_json(f.data) for f in told(response, "event", 2)]
        assert [e.kind for e in found] == ["paused", "resumed"]
        assert first.id is not None
