"""Who may do what: each route's least role, the project a token is bound to, and what still holds.

Deny by default: an application with a route that declares no role can't be built; a token of one
project reaches a route only by a study of that project, or where the route says that it looks
itself (`any_project`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, TypeVar

from fastapi import APIRouter, Depends, Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.services import Services
from api.studies import find, no_study
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import AuditEntry, Identity, Role, allowed
from tuner.errors import DuplicateName, NotAllowed, NotAuthenticated, NotFound
from tuner.spec import StudySpec
from tuner.study import Study

F = TypeVar("F", bound=Callable[..., Any])
EVERYONE = frozenset(Role)
_MARK = "__needs__"
_UNLISTED = frozenset({"/openapi.json"})
"""Routes that the framework adds; any token may read them."""


class Need(NamedTuple):
    """What a route asks of who calls it. Without roles it is open, to those without a token too."""

    roles: frozenset[Role]
    any_project: bool = False


OPEN = Need(frozenset(), any_project=True)


def needs(*least: Role, any_project: bool = False) -> Callable[[F], F]:
    """Declare a route's least role; with several, any of them will do.

    With `any_project` tokens of one project are let in, and the route itself keeps them to it.
    """
    roles = frozenset(role for one in least for role in allowed(one))
    return _mark(Need(roles, any_project))


def open_to_all(function: F) -> F:
    """Declare a route that wants no token. `api.auth.OPEN` must name it, too."""
    return _mark(OPEN)(function)


def _mark(need: Need) -> Callable[[F], F]:
    def mark(function: F) -> F:
        setattr(function, _MARK, need)
        return function

    return mark


class Guarded:
    """An ASGI application with a least role: static pages, mounts."""

    def __init__(self, app: ASGIApp, *least: Role, any_project: bool = True) -> None:
        self._app = app
        needs(*least, any_project=any_project)(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of who may. Raises NotAllowed."""
        if scope["type"] == "http":
            check_role(getattr(self, _MARK), identity_of(scope))
        await self._app(scope, receive, send)


def need_of(route: BaseRoute) -> Need | None:
    """Return what a route declares, None if nothing."""
    for part in ("endpoint", "app"):
        found: Need | None = getattr(getattr(route, part, None), _MARK, None)
        if found is not None:
            return found
    if getattr(route, "path", None) in _UNLISTED:
        return Need(EVERYONE, any_project=True)
    return None


def require_declared(
    routers: Iterable[tuple[str, APIRouter]],
    others: Iterable[BaseRoute],
    open_paths: frozenset[tuple[str, str]],
) -> None:
    """Refuse routes that declare no role, and open ones that the guard does not know.

    Raises:
        TypeError: with the route.
    """
    found: set[tuple[str, str]] = set()
    for path, route in _flat(routers, others):
        need = need_of(route)
        if need is None:
            raise TypeError(f"the route {path} declares no role: decorate it with api.access.needs")
        if need == OPEN:
            found |= {(m, path) for m in getattr(route, "methods", None) or ()}
    if found != open_paths:
        raise TypeError(f"open routes are not those the guard knows: {found ^ open_paths}")


def _flat(
    routers: Iterable[tuple[str, APIRouter]], others: Iterable[BaseRoute]
) -> Iterator[tuple[str, BaseRoute]]:
    for prefix, router in routers:
        for route in router.routes:
            yield prefix + str(getattr(route, "path", "")), route
    for route in others:
        if (path := getattr(route, "path", None)) is not None:
            yield str(path), route


def identity_of(scope: Scope) -> Identity:
    """Return who sent a request. Raises NotAuthenticated for one the guard did not see."""
    found: Identity | None = scope.get("state", {}).get("identity")
    if found is None:
        raise NotAuthenticated("a token is needed")
    return found


def check_role(need: Need, who: Identity) -> None:
    """Refuse who has none of the roles, or reaches past a project. Raises NotAllowed."""
    if who.role not in need.roles:
        raise NotAllowed(f"a {who.role} token may not do this; it needs {_either(need.roles)}")
    if who.project is not None and not need.any_project:
        raise NotAllowed(f"this token reaches the project {who.project!r} only")


def _either(roles: frozenset[Role]) -> str:
    return " or ".join(role for role in Role if role in roles)


async def permitted(request: Request) -> None:
    """Let in who may use the route, and for a token of one project only to studies of it.

    The study's name in the path becomes its id, which never stands for another one.

    Raises:
        NotAllowed: the role is not enough, or the token is another project's.
        NotFound: there is no such study in the token's project.
    """
    need = need_of(request.scope["route"]) or Need(frozenset())
    if need == OPEN:
        return
    who = identity_of(request.scope)
    params = request.scope["path_params"]
    if who.project is None or "study" not in params:
        check_role(need, who)
        return
    check_role(need._replace(any_project=True), who)
    services: Services = request.app.state.services
    study = find_seen(services.ledger.memory, params["study"], who)
    params["study"] = str(study.study_id)


def find_seen(reader: Reader, ref: str, who: Identity) -> Study:
    """Return a study that exists for `who`, by id or name. Raises NotFound."""
    study = find(reader, ref)
    if not who.sees(study.spec.queue.project):
        raise no_study(ref)
    return study


def own_project(spec: StudySpec, who: Identity) -> StudySpec:
    """Return a document to submit, in the project of a token that has one.

    Raises:
        NotAllowed: it names another project.
    """
    if who.project is None:
        return spec
    if "project" in spec.queue.model_fields_set:
        require_project(spec, who)
        return spec
    queue = spec.queue.model_copy(update={"project": who.project})
    return spec.model_copy(update={"queue": queue})


def require_project(spec: StudySpec, who: Identity) -> None:
    """Refuse a document of a project that is not the token's. Raises NotAllowed."""
    if not who.sees(spec.queue.project):
        raise NotAllowed(f"this token submits to the project {who.project!r} only")


def check_name(reader: Reader, name: str | None, who: Identity) -> None:
    """Refuse a name that a study has which the caller may not see, without telling its id.

    Raises:
        DuplicateName: it is taken so.
    """
    if who.project is None or name is None:
        return
    with suppress(NotFound):
        if not who.sees(reader.study_named(name).spec.queue.project):
            raise DuplicateName(f"a study named {name!r} exists")


def still_valid(scope: Scope) -> bool:
    """Tell whether what a request came with still holds: for streams and long polls.

    False as soon as its token was revoked or has expired, or its session was ended.
    """
    check: Callable[[], bool] | None = scope.get("state", {}).get("still_valid")
    return check is not None and check()


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who sends a request, from where."""

    identity: Identity
    address: str

    def note(
        self,
        tx: Transaction,
        services: Services,
        action: str,
        study: Study | None = None,
        /,
        **detail: Any,
    ) -> None:
        """Write into the audit log, in the commit of what was done."""
        tx.add_audit(
            AuditEntry(
                at=services.clock(),
                who=self.identity.name,
                token_id=self.identity.token_id,
                address=self.address,
                action=action,
                study_id=None if study is None else study.study_id,
                study=None if study is None else study.name,
                detail=detail,
            )
        )


async def actor(request: Request) -> Actor:
    """Return who sent a request."""
    address = request.scope["state"].get("address", "")
    return Actor(identity=identity_of(request.scope), address=address)


ActorDep = Annotated[Actor, Depends(actor)]
