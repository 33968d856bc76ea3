"""Request bodies: strictly typed, strictly read, bounded while they stream.

A route declares `body: Json[Model]`; the OpenAPI description finds the model through `StrictBody`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel

from api.deps import ServicesDep
from tuner.errors import InvalidInput, Malformed, TooLarge, UnsupportedMedia
from tuner.spec import StudySpec, check, parse_json, parse_yaml
from tuner.spec.read import validate

M = TypeVar("M", bound=BaseModel)
JSON = "application/json"
_LARGE = 200_000
"""Characters from which on JSON is read in a thread: what is hostile takes up to a second."""
_slow = ThreadPoolExecutor(max_workers=2, thread_name_prefix="yaml")
"""Where YAML is read: so many documents at once, that the server's other threads stay free."""
YAML = ("application/yaml", "application/x-yaml", "text/yaml")


def media_type(request: Request) -> str:
    """Return the body's media type in lower case without parameters.

    Raises:
        UnsupportedMedia: the body is compressed or not in UTF-8.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedMedia("bodies with a Content-Encoding are not taken; send it as it is")
    media, _, rest = request.headers.get("content-type", "").partition(";")
    charset = rest.strip().lower().removeprefix("charset=").strip('"')
    if rest.strip().lower().startswith("charset=") and charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("bodies are read as UTF-8 only")
    return media.strip().lower()


async def chunks(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives.

    Raises:
        TooLarge: as soon as more than `limit` bytes are announced or arrived.
    """
    message = f"the body is larger than {limit} bytes"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise TooLarge(message, limit=limit)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(message, limit=limit)
        yield chunk


async def read(request: Request, limit: int) -> bytes:
    """Return the whole body, and keep it for `Idempotency-Key`.

    Raises:
        TooLarge: as soon as it is longer than `limit` bytes.
    """
    body = b"".join([chunk async for chunk in chunks(request, limit)])
    request.state.body = body
    return body


def text_of(body: bytes) -> str:
    """Decode a body.

    Raises:
        Malformed: it is not UTF-8.
    """
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Malformed("the body is not UTF-8") from exc


class StrictBody(Generic[M]):
    """Read a JSON body into a model; a FastAPI dependency."""

    media: tuple[str, ...] = (JSON,)

    def __init__(self, model: type[M]) -> None:
        self.model = model

    async def __call__(self, request: Request, services: ServicesDep) -> M:
        """Read, parse and validate.

        Raises:
            InvalidInput: the document breaks the model's rules.
            Malformed: it is not what its content type says.
            TooLarge: it is larger than the server takes.
            UnsupportedMedia: its content type is not taken here.
        """
        media = media_type(request)
        if media not in self.media:
            raise UnsupportedMedia(f"send the body as {' or '.join(self.media)}")
        text = text_of(await read(request, services.settings.max_body))
        return await self.parse(text, media)

    async def parse(self, text: str, media: str) -> M:
        """Return the model a body's text says."""
        if len(text) > _LARGE:
            return await asyncio.to_thread(self.read_model, text)
        return self.read_model(text)

    def read_model(self, text: str) -> M:
        """Return the model a JSON text says."""
        document = parse_json(text)
        if not isinstance(document, dict):
            raise InvalidInput("the body must be a JSON object")
        return validate(self.model, document)


class StudyDocument(StrictBody[StudySpec]):
    """Read a study document, JSON or YAML."""

    media = (JSON, *YAML)

    def __init__(self) -> None:
        super().__init__(StudySpec)

    async def parse(self, text: str, media: str) -> StudySpec:
        """Return the study document; YAML is read in a thread, since it is slow."""
        if media == JSON:
            return await super().parse(text, media)
        loop = asyncio.get_running_loop()
        return check(await loop.run_in_executor(_slow, parse_yaml, text))

    def read_model(self, text: str) -> StudySpec:
        """Return the study document a JSON text says."""
        return check(parse_json(text))


SpecBody = Annotated[StudySpec, Depends(StudyDocument())]

if TYPE_CHECKING:
    Json = Annotated[M, StrictBody]
else:

    class Json:
        """`Json[Model]` marks a route's parameter as its JSON body."""

        def __class_getitem__(cls, model: type[M]) -> Any:
            return Annotated[model, Depends(StrictBody(model))]
