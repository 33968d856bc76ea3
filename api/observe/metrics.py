"""What is counted for Prometheus. Labels have few values: never a study, a trial or a token."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from api.observe import refusals
from storage.changes import Committed
from tuner.decision import Action, Decision
from tuner.errors import TunerError
from tuner.trial import EventKind

MEDIA = CONTENT_TYPE_LATEST
disable_created_metrics()  # type: ignore[no-untyped-call]
_REQUEST_S = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_COMMANDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
_ASK_S = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """The counters of one server, in a registry of its own. Use it on the event loop."""

    def __init__(self, version: str = "") -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = self._counter("http_requests", "Answered", "route", "method", "status")
        self._latency = self._histogram(
            "http_request_seconds", "Time to answer", _REQUEST_S, "route", "method"
        )
        self._reports = self._counter("reports", "Reports answered", "result")
        self._decisions = self._counter("decisions", "Decisions on reports", "kind")
        self._events = self._counter("events", "Events stored", "kind")
        self._refusals = self._counter("refusals", "Refused by a limit", "kind")
        self._refused = {kind: self._refusals.labels(kind) for kind in refusals.KINDS}
        self._ended = self._counter("trials_ended", "Trials that ended", "outcome")
        self._commit_s = self._histogram("commit_seconds", "Time of a commit", _COMMIT_S)
        self._batch = self._histogram("commit_commands", "Commands in a commit", _COMMANDS)
        self._ask_s = self._histogram(
            "ask_seconds", "Time until points are there", _ASK_S, "source"
        )
        self.listeners = Gauge(
            "tuner_event_listeners", "Open event streams", registry=self.registry
        )
        Gauge(
            "tuner_build_info", "1, with the version", ["version"], registry=self.registry
        ).labels(version).set(1)
        self._of_request: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._accepted = self._reports.labels("accepted")
        self._continued = self._decisions.labels("continue")
        self._state: Collector | None = None

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"tuner_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"tuner_{name}", text, labels, buckets=buckets, registry=self.registry)

    def requested(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        found = self._of_request.get((route, method, status))
        if found is None:
            found = (
                self._requests.labels(route, method, str(status)),
                self._latency.labels(route, method),
            )
            self._of_request[route, method, status] = found
        found[0].inc()
        found[1].observe(seconds)

    def reported(self, results: Sequence[Decision | BaseException]) -> None:
        """Count the answers to reports."""
        going = 0
        for found in results:
            if isinstance(found, Decision) and found.action is Action.CONTINUE:
                going += 1
            elif isinstance(found, Decision):
                self._accepted.inc()
                self._decisions.labels(str(found.outcome)).inc()
            else:
                refused = found.slug if isinstance(found, TunerError) else "error"
                self._reports.labels(refused).inc()
        if going:
            self._accepted.inc(going)
            self._continued.inc(going)

    def refused(self, kind: str) -> None:
        """Count what a limit refused; the kinds are those of `api.observe.refusals`."""
        self._refused[kind].inc()

    def committed(self, news: Committed) -> None:
        """Count what a commit stored; a subscriber of the ledger."""
        for event in news.events:
            self._events.labels(event.kind.value).inc()
            if event.kind is EventKind.HALVED:
                self._decisions.labels("halve").inc()
            elif event.kind is EventKind.ENDED:
                self._ended.labels(str(event.data.get("outcome", "unknown"))).inc()

    def commit(self, commands: int, seconds: float) -> None:
        """Count a commit of a batch."""
        self._commit_s.observe(seconds)
        self._batch.observe(commands)

    def asked(self, source: str, seconds: float) -> None:
        """Count points that were waited for: `instant`, `ready` or `computed`."""
        self._ask_s.labels(source).observe(seconds)

    def watch(self, state: Collector) -> None:
        """Ask `state` for its gauges too, whenever metrics are read, from now on."""
        if self._state is not None:
            self.registry.unregister(self._state)
        self._state = state
        self.registry.register(state)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
