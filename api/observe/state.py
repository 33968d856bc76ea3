"""Gauges read from a running server's memory whenever metrics are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api.services import Services
from storage.index import Listing, listing_key
from tuner.trial import StudyState


class Standing(Collector):
    """What a server that stands by tells: it owns no database."""

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        yield _owner(owns=False)


class State(Collector):
    """What a server that owns its database tells. Collect it on the event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        ledger, deadlines = self._services.ledger, self._services.deadlines
        memory = ledger.memory
        yield _owner(owns=ledger.lost is None)
        yield _gauge("commands_waiting", "Commands that wait for a commit", ledger.waiting)
        yield _gauge("leases", "Leases held", len(memory.leases()))
        studies = memory.studies()
        states = Counter(study.state for study in studies)
        yield _by_state("studies", "Studies by state", {s: states[s] for s in StudyState})
        trials = {
            listing.name.lower(): sum(
                memory.count(study.study_id, listing_key(listing)) for study in studies
            )
            for listing in (Listing.WAITING, Listing.RUNNING)
        }
        yield _by_state("trials", "Trials that wait and that run", trials)
        workers = memory.workers()
        alive = sum(deadlines.is_alive(worker) for worker in workers)
        out = sum(bool(self._services.troubles.of(worker)) for worker in workers)
        yield _gauge("workers_alive", "Workers heard within a lease's length", alive)
        text = "Workers that took themselves out of service"
        yield _gauge("workers_out_of_service", text, out)


def _owner(*, owns: bool) -> Metric:
    return _gauge("owner", "1 while this server owns the database", int(owns))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tuner_{name}", text, value=value)


def _by_state(name: str, text: str, values: dict[str, int] | dict[StudyState, int]) -> Metric:
    family = GaugeMetricFamily(f"tuner_{name}", text, labels=["state"])
    for state, value in values.items():
        family.add_metric([str(state)], value)
    return family
