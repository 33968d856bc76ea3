"""Results as tables: a study's trials, or its reports, as CSV or Parquet.

Everything is read from SQL page by page in threads, so that the service goes on meanwhile. A study
that runs is shown as it stands when each page is read.
"""

from __future__ import annotations

import asyncio
import csv
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from api.services import Services
from storage import tabular
from tuner.errors import InvalidInput
from tuner.handle import ParamValue
from tuner.space import Numeric, Parameter
from tuner.study import Study

Kind = Literal["int", "float", "text", "bool", "time"]
TableName = Literal["trials", "reports"]
Row = Sequence[Any]

_TRIALS_A_PAGE = {"trials": 500, "reports": 100}
_PAGES_A_GROUP = 10
_CHUNK = 1 << 18
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Column(NamedTuple):
    """A column's name and what its values are. Any value may be None."""

    name: str
    kind: Kind


class Table(NamedTuple):
    """A table that is still to be read: its columns, and rows by pages of trials."""

    columns: Sequence[Column]
    rows: Callable[[Connection, int, int], Iterable[Row]]
    trials_a_page: int
    trials: int


_TRIAL_COLUMNS = (
    Column("number", "int"),
    Column("state", "text"),
    Column("outcome", "text"),
    Column("value", "float"),
    Column("reason", "text"),
    Column("origin", "text"),
    Column("last_step", "int"),
    Column("lr_factor", "float"),
    Column("attempts", "int"),
    Column("failures", "int"),
    Column("seed", "int"),
    Column("note", "text"),
    Column("created_at", "time"),
    Column("started_at", "time"),
    Column("ended_at", "time"),
    Column("duration_s", "float"),
)
_REPORT_COLUMNS = (
    Column("trial", "int"),
    Column("attempt", "int"),
    Column("step", "int"),
    Column("value", "float"),
    Column("lr_factor", "float"),
    Column("in_curve", "bool"),
    Column("at", "time"),
)


async def table_of(services: Services, study: Study, name: TableName) -> Table:
    """Return a study's table; rows are read when they are asked for."""
    count = services.ledger.memory.next_number(study.study_id)
    page = _TRIALS_A_PAGE[name]
    if name == "trials":
        params = {n: _kind(p) for n, p in study.space.parameters.items()}
        columns = (*_TRIAL_COLUMNS, *(Column(f"params.{n}", k) for n, k in params.items()))
        return Table(columns, partial(_trial_rows, study.study_id, params), page, count)
    metrics = await services.ledger.read(partial(tabular.metric_names, study_id=study.study_id))
    columns = (*_REPORT_COLUMNS, *(Column(f"metrics.{m}", "float") for m in metrics))
    return Table(columns, partial(_report_rows, study.study_id, metrics), page, count)


def _kind(parameter: Parameter) -> Kind:
    if isinstance(parameter, Numeric):
        return "int" if parameter.integer else "float"
    kinds = {type(v) for v in parameter.values}
    if kinds == {bool}:
        return "bool"
    if kinds == {int}:
        return "int"
    return "float" if kinds <= {int, float} else "text"


def _param(kind: Kind, value: ParamValue | None) -> ParamValue | None:
    """Return a parameter as its column has it: of a list of mixed types as a text."""
    if value is None:
        return None
    if kind == "text":
        return str(value).lower() if isinstance(value, bool) else str(value)
    return float(value) if kind == "float" else value


def _trial_rows(
    study_id: int, params: Mapping[str, Kind], connection: Connection, first: int, count: int
) -> Iterator[Row]:
    for t in tabular.trial_records(connection, study_id, first, count):
        yield (
            t.number, t.state, t.outcome, t.value, t.reason, t.origin, t.last_step, t.lr_factor,
            t.attempts, t.failures, t.seed, t.note, t.created_at, t.started_at, t.ended_at,
            _seconds(t.started_at, t.ended_at),
            *(_param(kind, t.params.get(name)) for name, kind in params.items()),
        )  # fmt: skip


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _report_rows(
    study_id: int, metrics: Sequence[str], connection: Connection, first: int, count: int
) -> Iterator[Row]:
    for row in tabular.report_rows(connection, study_id, first, count):
        yield (*row[:-1], *map(row.metrics.get, metrics))


# CSV


async def as_csv(services: Services, table: Table) -> AsyncIterator[str]:
    """Yield a table as CSV (RFC 4180, but lines end with a line feed), page by page.

    A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    yield _lines([[c.name for c in table.columns]])
    for first in range(0, table.trials, table.trials_a_page):
        yield await services.ledger.read(partial(_csv_page, table, first))


def _csv_page(table: Table, first: int, connection: Connection) -> str:
    kinds = [c.kind for c in table.columns]
    rows = table.rows(connection, first, table.trials_a_page)
    return _lines([[_cell(k, v) for k, v in zip(kinds, row, strict=True)] for row in rows])


def _lines(rows: Iterable[Row]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _cell(kind: Kind, value: Any) -> Any:
    if value is None:
        return ""
    if kind == "float":
        return repr(float(value))
    if kind == "time":
        return value.isoformat()
    if kind == "bool":
        return "true" if value else "false"
    if kind == "text" and value.startswith(_FORMULA):
        return f"'{value}"
    return value


# Parquet


async def as_parquet(services: Services, table: Table) -> AsyncIterator[bytes]:
    """Return a table as a Parquet file, in pieces. It is written to a temporary file first.

    Raises:
        InvalidInput: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as exc:
        raise InvalidInput(
            "Parquet needs pyarrow on the server: pip install 'tuner[parquet]'; csv needs nothing"
        ) from exc
    file = await services.ledger.read(partial(_write_parquet, table))
    return _pieces(file)


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, _CHUNK):
            yield piece


def _write_parquet(table: Table, connection: Connection) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
    }  # fmt: skip
    schema = pa.schema([(c.name, types[c.kind]) for c in table.columns])
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by who reads it
    try:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            step = table.trials_a_page * _PAGES_A_GROUP
            for first in range(0, table.trials, step):
                found = list(table.rows(connection, first, step))
                columns = zip(*found, strict=True) if found else ((),) * len(schema)
                arrays = [pa.array(c, t) for c, t in zip(columns, schema.types, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
