"""A server of the tests' own that speaks `tuner.wire` over real HTTP and can misbehave."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tuner import wire
from tuner.errors import NotAuthenticated, NotFound, StaleAttempt, TunerError, Unavailable

TOKEN = "t-0123456789"


@dataclass(kw_only=True)
class FakeTrial:
    """A trial the fake hands out, and all that workers said about it."""

    number: int
    run: Any
    params: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None
    attempt: int = 0
    held: bool = False
    reports: list[wire.ReportItem] = field(default_factory=list)
    finishes: list[wire.FinishTrial] = field(default_factory=list)
    releases: list[wire.ReleaseTrial] = field(default_factory=list)
    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)

    @property
    def lease(self) -> str:
        """The token of the present attempt."""
        return f"lease-{self.number:03d}-{self.attempt:03d}"


def decide(item: wire.ReportItem) -> wire.DecisionView:
    """Answer every report with: go on at the level the report had."""
    return wire.DecisionView(lr_factor=item.lr_factor)


class FakeServer:
    """Trials in memory. `stop` and `start` keep them, and the port.

    `status` set to 503 refuses everything; `hold` cleared lets requests for reports hang.
    """

    def __init__(self, heartbeat_s: float = 0.2) -> None:
        self.heartbeat_s = heartbeat_s
        self.trials: list[FakeTrial] = []
        self.workers: list[wire.RegisterWorker] = []
        self.left: list[str] = []
        self.troubles: list[str] = []
        self.avoided: list[int] = []
        self.decide: Callable[[wire.ReportItem], wire.DecisionView] = decide
        self.stale: set[str] = set()
        self.refuse = False
        self.no_leases: TunerError | None = None
        self.batches: list[int] = []
        self.times: list[tuple[str, str, float]] = []
        self.go = threading.Event()
        self.go.set()
        self.lock = threading.Condition()
        self._http: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        fake = self

        class Handler(_Handler):
            server_state = fake

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._http = Server(("127.0.0.1", self._port), Handler)
        self._port = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening; connections end with their present request."""
        if self._http is not None:
            self.go.set()
            http, self._http = self._http, None
            http.shutdown()
            http.server_close()
            with self.lock:
                self.lock.notify_all()

    @property
    def up(self) -> bool:
        """Whether it listens."""
        return self._http is not None

    def add(self, run: Any, **about: Any) -> FakeTrial:
        """Queue a trial; a string is an entrypoint."""
        run = {"entrypoint": run} if isinstance(run, str) else run
        with self.lock:
            trial = FakeTrial(number=len(self.trials), run=run, **about)
            self.trials.append(trial)
            self.lock.notify_all()
        return trial

    # Routes

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        """Return the reply to a request; bytes are sent as they are."""
        if self.refuse:
            raise Unavailable("on purpose", retry_after=0.05)
        if path == "/reports":
            self.go.wait()
        if path == "/leases":
            if self.no_leases is not None:
                raise self.no_leases
            return self._acquire(wire.AcquireLeases.model_validate_json(body))
        with self.lock:
            self.times.append((method, path, time.monotonic()))
            reply = self._answer(method, path, query, body)
            self.lock.notify_all()
            return reply

    def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        if path == "/workers":
            self.workers.append(wire.RegisterWorker.model_validate_json(body))
            return wire.Registered(worker_id="worker-1", lease_s=5, heartbeat_s=self.heartbeat_s)
        if path == "/workers/worker-1" and method == "DELETE":
            self.left.append(path)
            return b""
        if path == "/reports":
            items = wire.Reports.model_validate_json(body).reports
            self.batches.append(len(items))
            return wire.ReportResults(results=[self._report(item) for item in items])
        if path == "/logs":
            logs = wire.Logs.model_validate_json(body).logs
            return wire.LogResults(results=[self._log(item) for item in logs])
        if path == "/heartbeats":
            return self._beat(wire.Heartbeat.model_validate_json(body))
        verbs = "finish|release|uploads|checkpoint"
        found = re.fullmatch(rf"/leases/([^/]+)/({verbs})(?:s/(\d+))?", path)
        if found is None:
            raise NotFound(path)
        return self._of_lease(method, found, query, body)

    def _of_lease(
        self, method: str, found: re.Match[str], query: dict[str, str], body: bytes
    ) -> Any:
        trial = self._held(found[1])
        if found[2] == "uploads":
            return wire.UploadPlace()
        if found[2] == "checkpoint" and method == "GET":
            return trial.checkpoints[-1][1]
        if found[2] == "checkpoint":
            assert query["sha256"] == hashlib.sha256(body).hexdigest()
            assert int(query["attempt"]) == trial.attempt
            trial.checkpoints.append((int(found[3]), body))
            return _view(trial)
        if found[2] == "finish":
            trial.finishes.append(wire.FinishTrial.model_validate_json(body))
            trial.held = False
            return wire.TrialAfter(state="ended", outcome=trial.finishes[-1].outcome)
        trial.releases.append(wire.ReleaseTrial.model_validate_json(body))
        trial.held = False
        return wire.TrialAfter(state="waiting")

    def _acquire(self, ask: wire.AcquireLeases) -> wire.Leases:
        deadline = time.monotonic() + ask.wait_s
        self.avoided = ask.avoid
        with self.lock:
            while True:
                waiting = [t for t in self.trials if not t.held and not t.finishes][: ask.n]
                if waiting or not self.up or time.monotonic() >= deadline:
                    break
                self.lock.wait(deadline - time.monotonic())
            if not self.up:
                raise Unavailable("closing", retry_after=0.05)
            self.times.append(("POST", "/leases", time.monotonic()))
            return wire.Leases(leases=[_grant(trial) for trial in waiting])

    def _report(self, item: wire.ReportItem) -> wire.ReportResult:
        try:
            self._held(item.lease).reports.append(item)
        except StaleAttempt as exc:
            return wire.ReportResult(problem=_problem(exc))
        return wire.ReportResult(decision=self.decide(item))

    def _log(self, item: wire.LogItem) -> wire.LogResult:
        for trial in self.trials:
            if trial.lease == item.lease:
                trial.printed[item.first :] = [line.text for line in item.lines]
                return wire.LogResult(next=len(trial.printed))
        return wire.LogResult(problem=_problem(StaleAttempt("not held")))

    def _beat(self, beat: wire.Heartbeat) -> wire.HeartbeatReply:
        self.troubles.append(beat.trouble)
        results = []
        for held in beat.leases:
            try:
                self._held(held.lease)
                results.append(wire.ReportResult(decision=wire.DecisionView()))
            except StaleAttempt as exc:
                results.append(wire.ReportResult(problem=_problem(exc)))
        return wire.HeartbeatReply(results=results)

    def _held(self, lease: str) -> FakeTrial:
        for trial in self.trials:
            if trial.lease == lease and lease not in self.stale and trial.held:
                return trial
        raise StaleAttempt("not held")


def _grant(trial: FakeTrial) -> wire.LeaseGrant:
    trial.attempt += 1
    trial.held = True
    return wire.LeaseGrant(
        lease=trial.lease,
        study_id=1,
        study="fake",
        number=trial.number,
        attempt=trial.attempt,
        params=trial.params,
        seed=7,
        steps=trial.steps,
        metric="val_loss",
        mode="min",
        run=trial.run,
        lr_factor=trial.reports[-1].lr_factor if trial.reports else 1.0,
        resume=_view(trial) if trial.checkpoints else None,
    )


def _view(trial: FakeTrial) -> wire.CheckpointView:
    step, body = trial.checkpoints[-1]
    sha256 = hashlib.sha256(body).hexdigest()
    return wire.CheckpointView(attempt=trial.attempt, step=step, sha256=sha256, size=len(body))


def _problem(error: TunerError) -> wire.Problem:
    return wire.Problem(
        type=f"/problems/{error.slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        extra=dict(error.extra),
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_state: FakeServer

    def do_GET(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.server_state.up:
            self.close_connection = True
            return
        where = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(where.query).items()}
        try:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise NotAuthenticated("no")
            path = where.path.removeprefix("/api/v1")
            self._send(200, self.server_state.answer(self.command, path, query, body))
        except TunerError as exc:
            self._send(exc.status, _problem(exc))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _send(self, status: int, reply: Any) -> None:
        if not self.server_state.up:
            self.close_connection = True
            return
        data = (
            reply
            if isinstance(reply, bytes)
            else json.dumps(reply.model_dump(mode="json")).encode()
        )
        kind = "application/json" if status == 200 else "application/problem+json"
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)
