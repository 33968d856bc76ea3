"""The OpenAPI description: what FastAPI finds, and what our own body reading adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api.body import StrictBody
from api.direct import readers
from api.problems import MEDIA
from tuner.wire import Problem

_REF = "#/components/schemas/{model}"
_ERRORS = {
    "default": {
        "description": "An error, as a problem document (RFC 9457)",
        "content": {MEDIA: {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
}


def describe(app: FastAPI, routers: Sequence[tuple[str, APIRouter]]) -> None:
    """Let the application describe bodies, errors and the bearer token."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(plain(), list(_bodies(routers)))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _bodies(routers: Sequence[tuple[str, APIRouter]]) -> Iterator[tuple[str, str, StrictBody[Any]]]:
    for prefix, router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute):
                continue
            for body in readers(route.dependant):
                for method in route.methods or ():
                    yield prefix + route.path_format, method.lower(), body


def _complete(
    schema: dict[str, Any], bodies: Sequence[tuple[str, str, StrictBody[Any]]]
) -> dict[str, Any]:
    models = {body.model for _, _, body in bodies} | {Problem}
    _, found = models_json_schema([(m, "validation") for m in models], ref_template=_REF)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(found.get("$defs", {}))
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schema["security"] = [{"token": []}]
    for operations in schema["paths"].values():
        for operation in operations.values():
            operation["responses"] = {
                code: reply for code, reply in operation["responses"].items() if code != "422"
            } | _ERRORS
    for path, method, body in bodies:
        ref = {"schema": {"$ref": _REF.format(model=body.model.__name__)}}
        schema["paths"][path][method]["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(body.media, ref),
        }
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return schema
