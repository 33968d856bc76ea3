"""Reads a file of rows: each cell is a text, or None where nothing is known."""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.errors import InvalidInput

MAX_BYTES = 256 << 20
MAX_CELLS = 20_000_000
MAX_COLUMNS = 2000
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "nat", "?"})
_DELIMITERS = (",", ";", "\t", "|")
_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+")

Cells = Sequence[str | None]
Read = Callable[[str], str | None]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file's columns by name, all of one length, and a digest of its bytes."""

    columns: Mapping[str, Cells]
    digest: str

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


def read(path: Path) -> Table:
    """Read a CSV (also with `;`, tabs or `|`) whose first line names the columns, or Parquet.

    Raises:
        InvalidInput: there is no such file, or it is empty, too large or malformed.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InvalidInput(f"{path.name} has {size >> 20} MiB; a table may have 256")
        content = path.read_bytes()
    except OSError as problem:
        raise InvalidInput(f"the table {path.name} can't be read: {problem.strerror}") from problem
    if not content.strip():
        raise InvalidInput(f"{path.name} is empty")
    parquet = path.suffix.lower() == ".parquet"
    columns = _parquet(path.name, content) if parquet else _csv(path.name, content)
    if not next(iter(columns.values())):
        raise InvalidInput(f"{path.name} has no rows below its header")
    return Table(columns=columns, digest=hashlib.blake2b(content, digest_size=16).hexdigest())


def _csv(name: str, content: bytes) -> dict[str, Cells]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        where = content[: problem.start].count(b"\n") + 1
        raise InvalidInput(f"{name}, line {where}: it must be in UTF-8") from problem
    first = text.lstrip().partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        filled = (line for line in lines if line)
        header = _checked(name, [cell.strip() for cell in next(filled)])
        read = _known if delimiter == "," else _with_comma
        rows = list(_rows(name, filled, lines, len(header), read))
    except csv.Error as problem:
        raise InvalidInput(f"{name}, line {lines.line_num}: {problem}") from problem
    columns: Iterable[Cells] = zip(*rows, strict=True) if rows else [[] for _ in header]
    return dict(zip(header, columns, strict=True))


def _rows(
    name: str, filled: Iterator[list[str]], lines: Any, width: int, read: Read
) -> Iterator[list[str | None]]:
    for number, line in enumerate(filled, start=1):
        if len(line) != width:
            raise InvalidInput(
                f"{name}, line {lines.line_num}: {len(line)} cells instead of {width}"
            )
        _bounded(name, number, width)
        yield [read(cell) for cell in line]


def _known(cell: str) -> str | None:
    text = cell.strip()
    return None if text.lower() in _MISSING else text


def _with_comma(cell: str) -> str | None:
    """Read a cell between other delimiters than commas: `1.234,5` is 1234.5."""
    text = _known(cell)
    if text is None or "," not in text or not _DECIMAL_COMMA.fullmatch(text):
        return text
    return text.replace(".", "").replace(",", ".")


def _parquet(name: str, content: bytes) -> dict[str, Cells]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as problem:
        raise InvalidInput(
            f"{name}: Parquet needs pyarrow on the worker: pip install 'tuner[parquet]'"
        ) from problem
    try:
        file = pq.ParquetFile(io.BytesIO(content))
        header = _checked(name, file.schema_arrow.names)
        _bounded(name, file.metadata.num_rows, len(header))
        table = file.read()
    except (pa.ArrowException, OSError) as problem:
        raise InvalidInput(f"{name} can't be read as Parquet: {problem}") from problem
    columns = (column.to_pylist() for column in table.columns)
    return {n: [_text(value) for value in c] for n, c in zip(header, columns, strict=True)}


def _text(value: Any) -> str | None:
    if isinstance(value, datetime.date):  # datetimes are dates
        return value.isoformat()
    if isinstance(value, float):
        return None if math.isnan(value) else repr(value)
    return None if value is None else _known(str(value))


def _checked(name: str, header: list[str]) -> list[str]:
    if len(header) > MAX_COLUMNS:
        raise InvalidInput(f"{name} has {len(header)} columns; a table may have {MAX_COLUMNS}")
    seen: set[str] = set()
    for column in header:
        if not column or column in seen:
            which = f"two columns are named {column!r}" if column else "a column has no name"
            raise InvalidInput(f"{name}: {which}; its first line must name the columns")
        seen.add(column)
    return header


def _bounded(name: str, rows: int, width: int) -> None:
    if rows * width > MAX_CELLS:
        raise InvalidInput(f"{name} has over {MAX_CELLS:,} cells; take a sample of its rows")
