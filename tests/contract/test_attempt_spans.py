"""What ran in a span of time: found by an index, however many attempts are over."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text

from storage.attempt_spans import SpanFilter, spans_query
from tests.contract.ledger_database import NOW, loaded, sql

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
