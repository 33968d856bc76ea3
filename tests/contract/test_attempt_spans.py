"""What ran in a span of time: found by an index, however many attempts are over."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from storage import Ledger, Transaction
from storage.attempt_spans import SpanFilter, attempt_spans, spans_query
from storage.changes import StoredEnvironment
from tests.contract.ledger_database import NOW, loaded, new_study, new_trial, sql, with_ledger
from tuner.trial import AttemptEnd, Lease

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


def test_a_span_is_read_by_the_attempts_ends(url: str) -> None:
    """Of a table as small as this, PostgreSQL would read all rows: it is told not to."""
    loaded(url)
    wanted = SpanFilter(since=NOW, until=NOW + timedelta(hours=1), worker_id="w")
    with sql(url) as engine, engine.begin() as connection:
        dialect = engine.dialect.name
        if dialect == "postgresql":
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        query = spans_query(wanted).compile(engine, compile_kwargs={"literal_binds": True})
        plan = connection.execute(text(f"{EXPLAIN[dialect]} {query}")).all()
    assert "tuner_attempts_ended" in str(plan)


def begin(tx: Transaction, attempt: int, devices: tuple[str, ...]) -> None:
    """Lease the trial for an attempt that names its GPUs."""
    lease = Lease(token=f"l-{attempt}", study_id=1, number=0, attempt=attempt, worker_id="w")
    tx.open_attempt(tx.trial(1, 0), lease, NOW + timedelta(seconds=attempt))
    environment = StoredEnvironment(
        trial_id=1, study_id=1, attempt=attempt, digest="1" * 64, parts=(), devices=devices
    )
    tx.put_environment(environment)


def test_attempts_name_the_gpus_they_were_given(url: str) -> None:
    def first(tx: Transaction) -> None:
        new_study(tx)
        new_trial(tx)
        begin(tx, 1, ())
        tx.close_attempt(tx.trial(1, 0), AttemptEnd.RELEASED, NOW + timedelta(seconds=1))

    async def body(ledger: Ledger) -> None:
        await ledger.write(first)
        await ledger.write(lambda tx: begin(tx, 2, ("1", "GPU-5e")))
        found = await attempt_spans(ledger, SpanFilter(since=NOW, until=NOW + timedelta(days=1)), 9)
        assert [(s.place.attempt, s.devices) for s in found] == [(2, ("1", "GPU-5e")), (1, ())]

    with_ledger(url, body)
