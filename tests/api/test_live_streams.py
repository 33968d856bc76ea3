"""What a stream of a real server tells, whom it leaves, and that nobody is held up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import external
from tests.api.live_stream import HEADERS, PATIENCE_S, stored, stored_all, stream, told, until
from tests.serving import ServerProcess
from tuner.client.live import Frame, frames
from tuner.wire import EventView, LiveReport, LiveStudy, LiveTrial


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
