"""The dashboard. Its page and files hold nothing of this server: what they show, they ask for."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.access import open_to_all
from api.charts.packed import takes_gzip
from api.deps import any_query
from api.site import ASSETS, PAGE, site
from tuner.errors import NotFound

router = APIRouter(include_in_schema=False)
_FOR_EVER = "public, max-age=31536000, immutable"


@router.get(PAGE, response_class=Response)
@any_query
@open_to_all
async def page() -> Response:
    found = site()
    headers = {**found.headers, "Cache-Control": "no-cache"}
    return Response(found.page, headers=headers, media_type="text/html; charset=utf-8")


@router.get(ASSETS, response_class=Response)
@open_to_all
async def file(request: Request) -> Response:
    asset = site().files.get(request.scope["path"])
    if asset is None:
        raise NotFound("there is no such file in this version of the dashboard: load it anew")
    headers = {
        "Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"
    }  # fmt: skip
    body = asset.body
    if takes_gzip(request.headers.get("accept-encoding", "")):
        body, headers["Content-Encoding"] = asset.packed, "gzip"
    return Response(body, headers=headers, media_type=asset.media)
