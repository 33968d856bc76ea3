"""The OpenAPI description: what FastAPI finds, our bodies, examples, errors and headers.

`python -m api.openapi FILE` writes it; the file in `docs/` is kept under test.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from api import openapi_errors
from api.auth import CSRF_HEADER, OPEN
from api.body import StrictBody
from api.credentials import cookie_name
from api.direct import readers
from api.openapi_examples import REPLIES, REQUESTS
from tuner.wire import Problem

_REF = "#/components/schemas/{model}"
_ID = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
_VERSIONED = frozenset({"get_study", "change_study", "extend_study"})
_HEADERS = {
    "ETag": ("The study's version, for `If-Match` and `If-None-Match`", "string"),
    "X-Request-ID": ("The request's id: its own `X-Request-ID` if sane, else a new one", "string"),
    "Retry-After": ("Seconds after which to send the request again", "integer"),
    "WWW-Authenticate": ("How to authenticate", "string"),
}
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": cookie_name(secure=False),
        "description": "A browser's, from POST /session; what changes something needs its "
        f"CSRF token in the header {CSRF_HEADER}, too. Over TLS: {cookie_name(secure=True)}.",
    },
}
TAGS = {
    "studies": "Submit studies, look at them, steer them, take their results away.",
    "trials": "A study's trials: list, show, enqueue, stop, cut the rate.",
    "remarks": "Notes, tags and pins that people keep; saved views of the dashboard.",
    "logs": "What trials print.",
    "charts": "What the dashboard draws: columns instead of rows, bounded in size.",
    "leases": "Run trials: lease, report, heartbeat, finish, release.",
    "artifacts": "Checkpoints of leased trials.",
    "workers": "The fleet.",
    "events": "What happened: pages, or a stream as it happens.",
    "projects": "What projects use, and may use.",
    "webhooks": "Events told to other services. For admins.",
    "access": "Tokens, and who did what. For admins.",
    "session": "Browsers log in with a token.",
    "health": "For operators: alive, ready, metrics.",
}


def describe(app: FastAPI, routers: Sequence[tuple[str, APIRouter]]) -> None:
    """Let the application describe bodies, examples, errors and the bearer token."""
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
    components["securitySchemes"] = _SECURITY
    components["headers"] = {
        name: {"description": text, "schema": {"type": kind}}
        for name, (text, kind) in _HEADERS.items()
    }
    schema["security"] = [{name: []} for name in _SECURITY]
    used = {tag for found in schema["paths"].values() for o in found.values() for tag in o["tags"]}
    schema["tags"] = [{"name": n, "description": t} for n, t in TAGS.items() if n in used]
    for path, method, body in bodies:
        ref = {"schema": {"$ref": _REF.format(model=body.model.__name__)}}
        schema["paths"][path][method]["requestBody"] = {
            "required": True,
            "content": dict.fromkeys(body.media, ref),
        }
    groups: set[openapi_errors.Group] = set()
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            groups.update(_finish(path, method, operation))
    components["responses"] = {
        openapi_errors.name_of(group): openapi_errors.response(group) for group in groups
    }
    components["examples"] = openapi_errors.examples({kind for group in groups for kind in group})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return schema


def _finish(path: str, method: str, operation: dict[str, Any]) -> list[openapi_errors.Group]:
    """Add an operation's examples, headers and problems; return these by status."""
    if (method.upper(), path) in OPEN:
        operation["security"] = []
    name = operation["operationId"]
    groups = openapi_errors.groups(openapi_errors.problems(path, method, operation))
    answers = {c: r for c, r in operation["responses"].items() if c not in ("422", "default")}
    for code, reply in answers.items():
        reply["headers"] = reply.get("headers", {}) | _ID
        if name in _VERSIONED:
            reply["headers"] |= {"ETag": {"$ref": "#/components/headers/ETag"}}
        if name in REPLIES and "content" in reply and (code == "201" or "201" not in answers):
            content = next(iter(reply["content"].values()))
            content["example"] = REPLIES[name]
    if name in REQUESTS:
        content = operation["requestBody"]["content"]
        content["application/json"] = content["application/json"] | {"example": REQUESTS[name]}
    refused = {
        str(group[0].status): {"$ref": f"#/components/responses/{openapi_errors.name_of(group)}"}
        for group in groups
    }
    operation["responses"] = answers | refused
    return groups


def text(app: FastAPI) -> str:
    """Return the description as JSON that does not change unless the API does."""
    return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(file: str) -> None:
    """Write the description to a file."""
    from api.app import create_app
    from api.settings import Settings

    settings = Settings(db_url="sqlite:///tuner.db", artifact_dir=Path(), admin_token="")
    Path(file).write_text(text(create_app(settings)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
