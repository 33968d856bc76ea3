"""Spans of requests and commits, and that nothing is traced unless asked for."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from api.observe.logs import JsonLines
from api.observe.tracing import Tracing, open_tracing
from tests.api.conftest import external
from tests.api.in_process import API, TOKEN, URL, settings_in

pytestmark = pytest.mark.anyio
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_records_name_the_span_they_were_written_in(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(settings_in(tmp_path), tracing=Tracing(provider))
    headers = {"Authorization": f"Bearer {TOKEN}", "traceparent": PARENT}
    written, logger = io.StringIO(), logging.getLogger("api.requests")
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    transport = httpx.ASGITransport(app=app)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as http,
        ):
            for _ in range(2):
                await http.get(f"{API}/studies")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    records = [json.loads(line) for line in written.getvalue().splitlines()]
    spans = [s.context for s in exporter.get_finished_spans() if s.name == f"GET {API}/studies"]
    assert [r["span_id"] for r in records] == [f"{s.span_id:016x}" for s in spans if s]
    assert len({r["span_id"] for r in records}) == 2
    assert {r["trace_id"] for r in records} == {PARENT.split("-")[1]}


async def test_without_traces_records_name_none(tmp_path: Path) -> None:
    record = logging.makeLogRecord({"msg": "x"})
    assert "trace_id" not in json.loads(JsonLines().format(record))


async def test_requests_and_commits_are_spans(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)
    app = create_app(settings_in(tmp_path), tracing=tracing)
    headers = {"Authorization": f"Bearer {TOKEN}", "traceparent": PARENT}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=URL, headers=headers
        ) as http,
    ):
        assert (await http.post(f"{API}/studies", json=external())).status_code == 201
        lease = (await http.post(f"{API}/studies/loop/ask", json={})).json()["leases"][0]["lease"]
        await http.post(f"{API}/leases/{lease}/release?secret=1", json={"attempt": 1})
    tracing.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    _check_request(spans[f"POST {API}/studies"], 201)
    _check_request(spans[f"POST {API}/leases/{{lease}}/release"], 422)
    commit = spans["commit"]
    assert commit.attributes is not None
    assert commit.attributes["tuner.commands"] == 1
    assert commit.start_time is not None
    assert commit.end_time is not None
    assert commit.start_time < commit.end_time
    written = " ".join(span.to_json() for span in spans.values())
    assert lease not in written
    assert "secret" not in written
    assert TOKEN not in written


def _check_request(span: ReadableSpan, status: int) -> None:
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}" == PARENT.split("-")[1]
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == status


@pytest.mark.parametrize(
    "environ",
    [
        {},
        ENDPOINT | {"OTEL_SDK_DISABLED": "true"},
        ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_is_traced_unless_asked_for(environ: dict[str, str]) -> None:
    assert open_tracing(environ, "1") is None


def test_a_collectors_address_opens_it() -> None:
    tracing = open_tracing(ENDPOINT, "1")
    assert tracing is not None
    tracing.close()


def test_without_the_packages_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("api.observe.tracing._SENDER", "opentelemetry.not_installed")
    assert open_tracing(ENDPOINT, "1") is None
    assert "pip install 'tuner[otel]'" in caplog.text
