"""Event streams of a real server: nothing missed, nothing twice, and nobody held up."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import external
from tests.serving import TOKEN, ServerProcess
from tuner.client import Client
from tuner.client.live import Frame, frames
from tuner.wire import EventView, LiveReport, LiveStudy, LiveTrial

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"}
PATIENCE_S = 60.0


def until(what: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def stream(server: ServerProcess, path: str = "/events", **headers: str) -> Iterator[Any]:
    """Open a stream and give its response."""
    with (
        httpx.Client(trust_env=False, timeout=30.0) as http,
        http.stream("GET", f"{server.url}/api/v1{path}", headers=HEADERS | headers) as response,
    ):
        yield response


def told(response: httpx.Response, kind: str, most: int) -> list[Frame]:
    """Read a stream until it has told so many messages of a kind."""
    found: list[Frame] = []
    for frame in frames(response.iter_lines()):
        if frame.kind == kind:
            found.append(frame)
        if len(found) == most:
            break
    return found


def stored(server: ServerProcess, study: str | None = None) -> list[int]:
    """Return the numbers of all stored events."""
    path = "/events" if study is None else f"/studies/{study}/events"
    return [e["seq"] for e in server.call("GET", f"{path}?limit=1000")["items"]]


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


def stored_all(server: ServerProcess, study: str | None = None) -> list[int]:
    """Return the numbers of all stored events, of any count."""
    with Client(server.url, server.token) as client:
        return [e.seq for e in client.past_events(study)]


def test_a_stream_tells_reports_trials_and_studies(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", external("a"))
        with stream(server, "/studies/a/events") as response:
            assert response.headers["content-type"] == "text/event-stream"
            assert response.headers["x-accel-buffering"] == "no"
            assert response.headers["cache-control"] == "no-store"
            lines = response.iter_lines()
            assert next(lines) == "retry: 1000"
            found = frames(lines)
            assert next(found).kind == "hello"
            (lease,) = server.call("POST", "/studies/a/ask", {})["leases"]
            held = {"lease": lease["lease"], "attempt": lease["attempt"]}
            report = held | {"step": 1, "value": 0.5, "lr_factor": 1.0}
            server.call("POST", "/reports", {"reports": [report]})
            server.call("POST", f"/leases/{lease['lease']}/finish", {"attempt": 1})
            seen: dict[str, list[Frame]] = {}
            while not {"event", "report", "trial", "study"} <= seen.keys() or (
                LiveStudy.model_validate_json(seen["study"][-1].data).counts["complete"] != 1
            ):
                frame = next(found)
                seen.setdefault(frame.kind, []).append(frame)
        (point,) = (LiveReport.model_validate_json(f.data) for f in seen["report"])
        assert (point.number, point.step, point.value) == (0, 1, 0.5)
        assert LiveTrial.model_validate_json(seen["trial"][-1].data).outcome == "complete"
        assert all(f.id for f in seen["event"])
        assert not any(f.id for f in (*seen["report"], *seen["trial"], *seen["study"]))
        # What reports lack in ids is made good by where the trials stand after a resumption.
        with stream(server, "/studies/a/events", **{"Last-Event-ID": "1"}) as response:
            (again,) = told(response, "trial", 1)
            assert LiveTrial.model_validate_json(again.data).last_step == 1


def test_a_reader_that_never_reads_is_cut_off_and_others_are_not_held_up(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--stream-queue", "300000") as server, ExitStack() as stack:
        budget = {"trials": 2_000, "max_failures": 2_000}
        server.call("POST", "/studies", external("a", budget=budget))
        lazy = stack.enter_context(lazy_listener(server))
        response = stack.enter_context(stream(server))
        reader = frames(response.iter_lines())
        assert next(reader).kind == "hello"
        heard: list[int] = []
        ended = threading.Event()

        def listen() -> None:
            for frame in reader:
                if frame.kind == "event":
                    heard.append(EventView.model_validate_json(frame.data).seq)
                    if '"finished"' in frame.data or '"cancelled"' in frame.data:
                        ended.set()
                        return

        listener = threading.Thread(target=listen)
        listener.start()
        for _ in range(1_000):
            (lease,) = server.call("POST", "/studies/a/ask", {})["leases"]
            said = {"attempt": lease["attempt"], "outcome": "failed", "error": "x" * 20_000}
            server.call("POST", f"/leases/{lease['lease']}/finish", said | {"retry": False})
            if lazy.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                break
        else:
            pytest.fail("it was never cut off")
        server.call("PATCH", "/studies/a", {"state": "cancelled"})
        assert ended.wait(PATIENCE_S)
        listener.join()
        assert heard == stored_all(server)[1:]


@contextmanager
def lazy_listener(server: ServerProcess) -> Iterator[socket.socket]:
    """Ask for a stream and read nothing of it; the receive buffer is small."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.socket() as asked:
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked.connect((host, int(port)))
        lines = [f"{k}: {v}" for k, v in (HEADERS | {"Host": f"{host}:{port}"}).items()]
        asked.sendall("\r\n".join(["GET /api/v1/events HTTP/1.1", *lines, "", ""]).encode())
        yield asked


def test_two_hundred_listeners_hear_everything(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, ExitStack() as stack:
        server.call("POST", "/studies", external("a"))
        limits = httpx.Limits(max_connections=300)
        http = stack.enter_context(httpx.Client(trust_env=False, timeout=60.0, limits=limits))
        found = [
            stack.enter_context(http.stream("GET", f"{server.url}/api/v1/events", headers=HEADERS))
            for _ in range(200)
        ]
        readers = [frames(r.iter_lines()) for r in found]
        assert {next(r).kind for r in readers} == {"hello"}
        for state in ["paused", "running"] * 5:
            server.call("PATCH", "/studies/a", {"state": state})
        expected = stored(server)[1:]
        for reader in readers:
            heard = list(iter_until(reader, len(expected)))
            assert [EventView.model_validate_json(f.data).seq for f in heard] == expected
        assert server.stop() == 0


def iter_until(reader: Iterator[Frame], most: int) -> Iterator[Frame]:
    """Yield so many events."""
    for frame in reader:
        if frame.kind == "event":
            yield frame
            most -= 1
        if not most:
            return


def test_a_graceful_stop_ends_streams_in_order(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, stream(server) as response:
        told_first = frames(response.iter_lines())
        assert next(told_first).kind == "hello"
        assert server.stop() == 0
        assert list(told_first) == []


def test_streams_have_places(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--streams-each", "2") as server:
        with stream(server) as one, stream(server) as two:
            assert (one.status_code, two.status_code) == (200, 200)
            with stream(server) as refused:
                assert refused.status_code == 429
                assert refused.headers["retry-after"] == "2"
                assert refused.headers["content-type"] == "application/problem+json"

        def is_free() -> bool:
            with stream(server) as again:
                return bool(again.status_code == 200)

        until(is_free)


def test_heartbeats_fill_a_silence(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path, "--stream-heartbeat", "0.1") as server,
        stream(server) as response,
    ):
        beats = (line for line in response.iter_lines() if line.startswith(":"))
        assert [next(beats), next(beats)] == [": ", ": "]


@pytest.mark.parametrize(
    ("last", "why"),
    [("999", "ahead"), ("1-zzzzzz", "another event")],
)
def test_an_id_that_is_not_of_this_database_is_told_to_fetch_anew(
    tmp_path: Path, last: str, why: str
) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", external("a"))
        with stream(server, **{"Last-Event-ID": last}) as response:
            found = frames(response.iter_lines())
            first, second = next(found), next(found)
        assert (first.kind, second.kind) == ("reset", "hello")
        assert why in first.data
        assert second.id is not None
        with stream(server, **{"Last-Event-ID": second.id}) as response:
            assert next(frames(response.iter_lines())).kind != "reset"
        with stream(server, **{"Last-Event-ID": "yesterday"}) as response:
            assert response.status_code == 422


def test_without_the_accept_header_a_page_comes(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        server.call("POST", "/studies", external("a"))
        page = server.call("GET", "/events?limit=1")
        assert page["items"][0]["kind"] == "submitted"
        assert page["next_cursor"] is None
        assert server.call("GET", "/events?after=1")["items"] == []


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


def test_the_command_prints_events_of_one_study_or_all(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        for name in "ab":
            server.call("POST", "/studies", external(name))
        lines = server.run("events", "--json").stdout.splitlines()
        assert [EventView.model_validate_json(line).study_id for line in lines] == [1, 2]
        (line,) = server.run("events", "b").stdout.splitlines()
        assert line.startswith("2  ")
        assert "study 2  submitted" in line
        assert server.run("events", "--after", "2").stdout == ""
        assert server.run("projects").stdout.split()[-5:] == ["default", "2", "0", "2", "0"]


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
