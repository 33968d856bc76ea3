"""OpenTelemetry traces of requests and commits, where its packages are installed and asked for.

It is asked for by OpenTelemetry's own environment variables, and off without them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from starlette.types import Scope

from api.observe.request_id import Place

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_ASKED = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
_SENDER = "opentelemetry.exporter.otlp.proto.http"
_NS = 1_000_000_000
_log = logging.getLogger(__name__)


def open_tracing(environ: Mapping[str, str], version: str) -> Tracing | None:
    """Return what sends spans to the collector that the environment names; None without one."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").lower() != "otlp":
        return None
    if not any(environ.get(name) for name in _ASKED):
        return None
    if not _installed():
        _log.warning("traces are asked for and not sent: pip install 'tuner[otel]'")
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    about = {"service.name": environ.get("OTEL_SERVICE_NAME", "tuner"), "service.version": version}
    provider = TracerProvider(resource=Resource.create(about))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _installed() -> bool:
    try:
        return find_spec(_SENDER) is not None
    except ModuleNotFoundError:
        return False


class Tracing:
    """Spans of one server. A request's span goes on from its `traceparent`."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        self._provider = provider
        self._tracer = provider.get_tracer("tuner")
        self._extract = extract
        self._kind = SpanKind.SERVER

    def begin(self, scope: Scope) -> RequestSpan:
        """Begin a request's span."""
        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        context = self._extract(carrier) if carrier else None
        return RequestSpan(
            self._tracer.start_span(scope["method"], context=context, kind=self._kind)
        )

    def commit(self, commands: int, seconds: float) -> None:
        """Note a commit that has just ended."""
        end = time.time_ns()
        span = self._tracer.start_span(
            "commit",
            start_time=end - int(seconds * _NS),
            attributes={"tuner.commands": commands},
        )
        span.end(end)

    def close(self) -> None:
        """Send what is left, and stop. Blocks."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Any) -> None:
        self._span = span

    @property
    def place(self) -> Place:
        """Where to find it, as logs name it."""
        context = self._span.get_span_context()
        return Place(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    def end(self, route: str, method: str, status: int) -> None:
        """End it, named by its route's template: neither path nor query get into a trace."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(f"{method} {route}")
        self._span.set_attributes(
            {
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
            }
        )
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
