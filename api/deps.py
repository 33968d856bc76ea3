"""Dependencies of the routes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import BeforeValidator

from api.services import Services
from tuner.access import Identity
from tuner.errors import Fault, InvalidInput

F = TypeVar("F", bound=Callable[..., Any])


_ANY = "__any_query__"


def any_query(function: F) -> F:
    """Declare a route whose query is the page's own business: the server does not read it."""
    setattr(function, _ANY, True)
    return function


def _plain(value: object) -> object:
    """Refuse numbers that Python reads and nobody writes, such as `1_0`."""
    if isinstance(value, str) and _NUMBER.fullmatch(value) is None:
        raise ValueError("is not a number")
    return value


def _whole(value: object) -> object:
    """Refuse whole numbers that are not digits alone."""
    if isinstance(value, str) and _DIGITS.fullmatch(value) is None:
        raise ValueError("is not a whole number")
    return value


_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_DIGITS = re.compile(r"-?[0-9]{1,20}")
Plain = BeforeValidator(_plain)
Whole = BeforeValidator(_whole)


async def services(request: Request) -> Services:
    """Return the running server's parts."""
    found: Services = request.app.state.services
    return found


async def known_query(request: Request) -> None:
    """Refuse query parameters the route does not name, repeated ones, and NUL in them.

    Raises:
        InvalidInput: each unknown parameter with the nearest known one.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    if not names:
        return
    route = request.scope.get("route")
    if getattr(getattr(route, "endpoint", None), _ANY, False):
        return
    known = [p.alias for p in route.dependant.query_params] if isinstance(route, APIRoute) else []
    faults = [_fault(name, known) for name in dict.fromkeys(names) if name not in known]
    faults += [
        Fault(where=f"query.{name}", message="holds NUL")
        for name, value in request.query_params.multi_items()
        if "\0" in value and name in known
    ]
    faults += [
        Fault(where=f"query.{name}", message="is given more than once")
        for name in known
        if names.count(name) > 1
    ]
    if faults:
        raise InvalidInput(f"{faults[0].where}: {faults[0].message}", faults)


def _fault(name: str, known: list[str]) -> Fault:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    else:
        hint = f"known are {', '.join(known)}" if known else "this route takes none"
    return Fault(where=f"query.{name[:100]}", message=f"unknown parameter; {hint}")


async def user(request: Request) -> str:
    """Return the name of who sent the request."""
    name: str = request.state.user
    return name


async def identity(request: Request) -> Identity:
    """Return who sent the request."""
    found: Identity = request.state.identity
    return found


UserDep = Annotated[str, Depends(user)]
WhoDep = Annotated[Identity, Depends(identity)]
ServicesDep = Annotated[Services, Depends(services)]
StudyRef = Annotated[
    str, Path(description="A study's id or its name", min_length=1, max_length=100)
]
TrialNumber = Annotated[
    int, Path(description="A trial's number in its study", ge=0, lt=2**31), Whole
]
Limit = Annotated[int, Query(description="Items on a page", ge=1, le=1000), Whole]
Cursor = Annotated[
    str | None,
    Query(
        description="`next_cursor` of the page before",
        max_length=1000,
        pattern=r"^[0-9A-Za-z_=-]+$",
    ),
]
