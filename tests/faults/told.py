"""What clients were told, compared with the database and with what they are told again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import create_engine, text

from storage.engine import database_url
from tests.serving import ServerProcess

BATCH = 500


class Place(NamedTuple):
    """An attempt of a trial."""

    study_id: int
    number: int
    attempt: int


class Report(NamedTuple):
    """A report that was acknowledged, with its decision."""

    item: dict[str, Any]
    decision: dict[str, Any]


@dataclass
class Told:
    """All that was acknowledged, by any client."""

    studies: set[str] = field(default_factory=set)
    leases: dict[Place, str] = field(default_factory=dict)
    """The token of each attempt."""
    reports: dict[Place, dict[int, Report]] = field(default_factory=dict)
    ends: dict[Place, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    """What was sent to end an attempt, and the answer."""
    checkpoints: dict[tuple[Place, int], str] = field(default_factory=dict)
    replies: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By Idempotency-Key: status, and the digest of the body."""
    refusals: Counter[int] = field(default_factory=Counter)
    """Refusals for now, by status."""
    odd: list[str] = field(default_factory=list)
    """What nobody should be told."""

    @property
    def writes(self) -> int:
        """How many writes were acknowledged."""
        reports = sum(map(len, self.reports.values()))
        return len(self.replies) + reports + len(self.checkpoints)

    def lease(self, place: Place, token: str) -> None:
        """Note a lease; odd if another one of this attempt was given."""
        if self.leases.setdefault(place, token) != token:
            self.odd.append(f"{place} was leased twice")

    def report(self, place: Place, report: Report) -> None:
        """Note an acknowledged report."""
        self.reports.setdefault(place, {})[int(report.item["step"])] = report


def digest(body: bytes) -> bytes:
    """Return what stands for a reply's body."""
    return hashlib.sha256(body).digest()


def missing(url: str, told: Told) -> list[str]:
    """Return what was acknowledged and is not in the database as it was told."""
    return [*told.odd, *_missing(_Stored(url), told)]


class _Stored:
    """The rows that acknowledgements are about."""

    def __init__(self, url: str) -> None:
        engine = create_engine(database_url(url))
        with engine.connect() as connection:

            def rows(query: str) -> Iterator[Sequence[Any]]:
                return iter(connection.execute(text(query)))

            place = "t.study_id, t.number, r.attempt"
            of = "r JOIN tuner_trials t ON t.trial_id = r.trial_id"
            self.studies = {name for (name,) in rows("SELECT study_name FROM studies")}
            self.replies = {
                key: (status, digest(bytes(body)))
                for key, status, body in rows("SELECT key, status, body FROM tuner_replies")
            }
            self.leases = {
                Place(*row[:3]): (row[3], row[4])
                for row in rows(f"SELECT {place}, r.token, r.ended_why FROM tuner_attempts {of}")
            }
            self.reports = {
                (Place(*row[:3]), row[3]): row[4]
                for row in rows(f"SELECT {place}, r.step, r.value FROM tuner_reports {of}")
            }
            self.checkpoints = {
                (Place(*row[:3]), row[3]): json.loads(row[4])["sha256"]
                for row in rows(
                    "SELECT study_id, number, attempt, step, data FROM tuner_events "
                    "WHERE kind = 'checkpoint'"
                )
            }
            self.outcomes = {
                (study_id, number): outcome
                for study_id, number, outcome in rows(
                    "SELECT study_id, number, outcome FROM tuner_trials"
                )
            }
        engine.dispose()


def _missing(stored: _Stored, told: Told) -> Iterator[str]:
    yield from (f"study {name}" for name in told.studies - stored.studies)
    for key, reply in told.replies.items():
        if stored.replies.get(key) != reply:
            yield f"the reply of {key} is {stored.replies.get(key)}, told was {reply}"
    for place, token in told.leases.items():
        if stored.leases.get(place, ("", ""))[0] != token:
            yield f"the lease of {place}"
    for where, sha256 in told.checkpoints.items():
        if stored.checkpoints.get(where) != sha256:
            yield f"the checkpoint of {where}"
    yield from _missing_reports(stored, told)
    yield from _missing_ends(stored, told)


def _missing_reports(stored: _Stored, told: Told) -> Iterator[str]:
    for place, reports in told.reports.items():
        for step, report in reports.items():
            if stored.reports.get((place, step)) != report.item["value"]:
                yield f"step {step} of {place}"
            outcome = report.decision["outcome"]
            if outcome is not None and stored.outcomes.get(place[:2]) != outcome:
                yield f"the decision that {place} ends as {outcome}"


def _missing_ends(stored: _Stored, told: Told) -> Iterator[str]:
    for place, (_, answer) in told.ends.items():
        outcome = stored.outcomes.get(place[:2])
        if answer["state"] == "ended" and outcome != answer["outcome"]:
            yield f"the end of {place} as {answer['outcome']}: it is {outcome}"
        if stored.leases.get(place, ("", None))[1] is None:
            yield f"{place} was given back, and holds its trial still"


def told_otherwise(server: ServerProcess, told: Told) -> list[str]:
    """Send the last report of each attempt again, and return what is answered otherwise.

    Its decision is in force as long as no one ended the attempt.
    """
    last = [
        reports[max(reports)] for place, reports in told.reports.items() if place not in told.ends
    ]
    wrong = []
    for k in range(0, len(last), BATCH):
        some = last[k : k + BATCH]
        body = {"reports": [report.item for report in some]}
        results = server.call("POST", "/reports", body)["results"]
        for report, result in zip(some, results, strict=True):
            if result["decision"] != report.decision:
                wrong.append(f"{report} is answered {result}")
    return wrong
