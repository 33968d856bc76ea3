"""The server's log: one line a record, as text or JSON, with the request's id."""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Literal

from api.observe.request_id import CURRENT, TRACE

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]
_PLAIN = re.compile(r"[!#-<>-~]+")
"""What can't be taken for another field: no space, quote or equals sign."""
_LIBRARIES = (
    *("sqlalchemy", "alembic", "httpx", "httpcore", "uvicorn", "asyncio"),
    *("fsspec", "s3fs", "aiobotocore", "botocore", "aiohttp", "urllib3"),
)
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def configure(form: LogFormat, level: LogLevel) -> None:
    """Write this process's log to standard error.

    Of libraries' logs only warnings are written, at `debug` uvicorn's too; never SQLAlchemy's
    below a warning, since it shows what goes into statements, nor those of stores of files, which
    show signatures.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for library in _LIBRARIES:
        logging.getLogger(library).setLevel("WARNING")
    if level == "debug":
        logging.getLogger("uvicorn").setLevel("DEBUG")


class _Lines(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return when a record was made, ISO 8601 in UTC with milliseconds."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        return f"{seconds}.{int(record.msecs):03d}Z"

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        fields: dict[str, object] = dict(getattr(record, "fields", None) or {})
        if request_id := CURRENT.get():
            fields["request_id"] = request_id
        if (place := TRACE.get()) is not None:
            fields |= place._asdict()
        return fields

    def _trace(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class TextLines(_Lines):
    """Format a record as `TIME LEVEL LOGGER MESSAGE key=value ...`; a traceback follows."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's text; what a client sent can't begin a line of its own."""
        words = [self.formatTime(record), record.levelname, record.name, record.getMessage()]
        words += [f"{key}={_quoted(value)}" for key, value in self._fields(record).items()]
        line = " ".join(words).translate(_CONTROL)
        trace = self._trace(record)
        return f"{line}\n{trace}" if trace else line


def _quoted(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


class JsonLines(_Lines):
    """Format a record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record's JSON."""
        document: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | self._fields(record)
        if trace := self._trace(record):
            document["exception"] = trace
        return json.dumps(document, ensure_ascii=True, default=str)
