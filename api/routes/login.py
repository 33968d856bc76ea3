"""Browsers log in with a token, and get a session."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from api import login_page
from api.access import Actor, ActorDep, needs, open_to_all
from api.auth import LOGIN, host_name
from api.body import JSON, media_type, read, text_of
from api.credentials import (
    Credential,
    check_token,
    cookie_name,
    cookie_of,
    digest_of,
    is_secure,
    session_of,
)
from api.deps import ServicesDep
from api.services import Services
from api.sessions import Session, proof_of
from storage.transaction import Transaction
from tuner.access import Role
from tuner.errors import InvalidInput, NotAuthenticated, NotFound, TooMany, UnsupportedMedia
from tuner.spec import parse_json
from tuner.spec.read import validate
from tuner.wire import LogIn, SessionView

router = APIRouter(tags=["session"])
FORM = "application/x-www-form-urlencoded"
_MOST = 10_000
_MOST_FIELDS = 10
_EVERYONE = (Role.VIEWER, Role.WORKER)


@router.get(
    LOGIN,
    operation_id="login_page",
    summary="The log-in page",
    response_class=HTMLResponse,
    include_in_schema=False,
)
@open_to_all
async def login(
    next: Annotated[  # noqa: A002
        str | None, Query(description="Where to go then", max_length=1000)
    ] = None,
) -> HTMLResponse:
    return _page(login_page.safe_target(next))


@router.get(
    "/login.css",
    operation_id="login_style",
    summary="The log-in page's style",
    response_class=Response,
    include_in_schema=False,
)
@open_to_all
async def login_css() -> Response:
    return Response(login_page.CSS, media_type="text/css")


@router.post(
    "/session",
    operation_id="log_in",
    summary="Log in with a token; sets the session's cookie",
    response_model=SessionView,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": LogIn.model_json_schema()}},
        }
    },
)
@open_to_all
async def log_in(request: Request, services: ServicesDep) -> Response:
    media = media_type(request)
    text = text_of(await read(request, _MOST))
    if media == FORM:
        return await _from_form(request, services, text)
    if media != JSON:
        raise UnsupportedMedia(f"send the token as {JSON} or {FORM}")
    body = parse_json(text)
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object")
    secret, session = await _start(request, services, validate(LogIn, body).token)
    reply = JSONResponse(_view(session).model_dump(mode="json"))
    _set_cookie(reply, request, services, secret)
    return reply


async def _from_form(request: Request, services: Services, text: str) -> Response:
    try:
        fields = parse_qs(text, max_num_fields=_MOST_FIELDS)
    except ValueError as exc:
        raise InvalidInput(f"the form has more than {_MOST_FIELDS} fields") from exc
    target = login_page.safe_target(fields.get("next", [None])[0])
    try:
        secret, _ = await _start(request, services, fields.get("token", [""])[0].strip())
    except (NotAuthenticated, TooMany) as exc:
        return _page(target, fault=f"{exc.detail}.".capitalize(), status=exc.status)
    reply = RedirectResponse(target, 303)
    _set_cookie(reply, request, services, secret)
    return reply


async def _start(request: Request, services: Services, token: str) -> tuple[str, Session]:
    address = request.state.address
    found: Credential = check_token(services, token, address)
    actor = Actor(identity=found.identity, address=address)
    secret, session = services.sessions.start(found.identity, found.digest)
    proof = proof_of(secret, digest_of(token))
    kept = services.sessions.to_keep(session, proof, services.clock())
    former = _former(request, services)

    def command(tx: Transaction) -> None:
        actor.note(tx, services, "log-in")
        tx.put_session(kept)
        if former is not None:
            tx.drop_session(former.key)

    try:
        await services.ledger.write(command)
    except BaseException:
        services.sessions.end(session)
        raise
    if former is not None:
        services.sessions.end(former)
    return secret, session


def _former(request: Request, services: Services) -> Session | None:
    """Return the session that a new log-in takes the place of in this browser."""
    name, _ = _cookie_kind(request, services)
    secret = cookie_of(request.headers, name)
    return session_of(services, secret) if secret else None


@router.get("/session", operation_id="show_session", summary="Whose session this is")
@needs(*_EVERYONE, any_project=True)
async def show_session(request: Request) -> SessionView:
    return _view(_session(request))


@router.delete("/session", operation_id="end_session", summary="Log out", status_code=204)
@needs(*_EVERYONE, any_project=True)
async def end_session(request: Request, services: ServicesDep, actor: ActorDep) -> Response:
    return await _end(request, services, actor, Response(status_code=204))


@router.post(
    "/logout",
    operation_id="log_out",
    summary="Log out, for forms",
    status_code=303,
    include_in_schema=False,
)
@needs(*_EVERYONE, any_project=True)
async def log_out(request: Request, services: ServicesDep, actor: ActorDep) -> Response:
    return await _end(request, services, actor, RedirectResponse(LOGIN[1:], 303))


async def _end(request: Request, services: Services, actor: Actor, reply: Response) -> Response:
    session = _session(request)

    def command(tx: Transaction) -> None:
        actor.note(tx, services, "log-out")
        tx.drop_session(session.key)

    await services.ledger.write(command)
    services.sessions.end(session)
    _set_cookie(reply, request, services, "")
    return reply


def _session(request: Request) -> Session:
    found: Session | None = getattr(request.state, "session", None)
    if found is None:
        raise NotFound("this request has a token, and no session")
    return found


def _set_cookie(reply: Response, request: Request, services: Services, secret: str) -> None:
    """Set the session's cookie; with an empty secret take it away."""
    name, secure = _cookie_kind(request, services)
    reply.set_cookie(
        name,
        secret,
        max_age=None if secret else 0,
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def _cookie_kind(request: Request, services: Services) -> tuple[str, bool]:
    """Return the cookie's name, and whether it is bound to TLS."""
    host = host_name(request.headers.get("host", ""))
    secure = is_secure(request.headers, services.settings, host)
    return cookie_name(secure), secure


def _view(session: Session) -> SessionView:
    who = session.identity
    return SessionView(name=who.name, role=who.role, project=who.project, csrf=session.csrf)


def _page(target: str, fault: str = "", status: int = 200) -> HTMLResponse:
    headers = {"Content-Security-Policy": login_page.POLICY, "Referrer-Policy": "same-origin"}
    return HTMLResponse(login_page.page(target, fault), status, headers=headers)
