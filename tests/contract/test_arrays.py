"""Values sent to PostgreSQL as arrays arrive as they were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage.arrays import literal

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double precision": st.floats(),
    "text": TEXT | st.sampled_from(["NULL", "null", "", "{}", '"', "\\", "a,b", " ", "\t\n"]),
    "boolean": st.booleans(),
    "bytea": st.binary(),
    "timestamp": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(
        partial(datetime.replace, fold=0)
    ),
}
PER_TEST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def cursor(postgres_url: str) -> Iterator[psycopg.Cursor[Any]]:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        yield connection.cursor()


@pytest.mark.parametrize("kind", KINDS)
@PER_TEST
@given(data=st.data())
def test_they_come_back(cursor: psycopg.Cursor[Any], data: st.DataObject, kind: str) -> None:
    values = data.draw(st.lists(KINDS[kind] | st.none(), max_size=20))
    query = f"SELECT * FROM unnest(%s::{kind}[])"
    found = [row for (row,) in cursor.execute(query.encode(), [literal(values)])]
    assert repr(found) == repr(values)
