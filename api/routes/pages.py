"""The interactive page of the API. It shows nothing without a token: it asks for one."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import FileResponse

from api.access import open_to_all
from api.pages import FILES, FOLDER, HEADERS

router = APIRouter(include_in_schema=False)


@open_to_all
async def page(request: Request) -> FileResponse:
    file, media = FILES[request.scope["route"].path]
    return FileResponse(FOLDER / file, media_type=media, headers=dict(HEADERS))


for path in FILES:
    router.add_api_route(path, page, methods=["GET"], response_class=FileResponse)
