"""Giving the server a study that ran elsewhere, batch after batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tuner.client.transport import Transport
from tuner.wire import Adopted, AdoptTrials, Dryrun

ADOPT_S = 50.0
"""Seconds more that a server may take to store a batch of adopted trials."""


def adopt(
    transport: Transport,
    document: Mapping[str, Any],
    batches: Iterable[AdoptTrials],
    *,
    source: str,
    user_attrs: Mapping[str, Any] | None,
    told: Callable[[int], None] | None,
) -> Adopted:
    """Send a study and what the server lacks of its trials; see `Client.adopt`."""
    body = {"document": dict(document), "source": source, "user_attrs": dict(user_attrs or {})}
    adopted = transport.post(Adopted, "/studies/import", body)
    for batch in batches:
        known = adopted.trials - batch.first
        if adopted.open or known < 0 or (known >= len(batch.trials) and not batch.last):
            continue
        rest = batch.model_copy(update={"first": adopted.trials, "trials": batch.trials[known:]})
        path = f"/studies/{adopted.id}/import"
        adopted = transport.post(Adopted, path, rest, wait_s=ADOPT_S)
        if told is not None:
            told(adopted.trials)
    return adopted


def check_adoption(transport: Transport, document: Mapping[str, Any]) -> Dryrun:
    """Return the document of a study to adopt as the service reads it, with warnings."""
    body = {"document": dict(document)}
    return transport.post(Dryrun, "/studies/import", body, dry_run="true")
