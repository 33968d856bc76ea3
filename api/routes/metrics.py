"""Metrics for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from api.access import needs
from api.deps import ServicesDep
from api.observe.metrics import MEDIA
from tuner.access import Role

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics in Prometheus' text format",
    response_class=PlainTextResponse,
)
@needs(Role.VIEWER)
async def metrics(services: ServicesDep) -> Response:
    return Response(services.metrics.text(), media_type=MEDIA)
