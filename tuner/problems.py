"""Problem documents (RFC 9457) and transport failures, translated into the project's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import ValidationError

from tuner.errors import (
    BY_SLUG,
    Fault,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    TooLarge,
    TooMany,
    TunerError,
    Unavailable,
)
from tuner.wire import Problem

_BY_STATUS: Mapping[int, type[TunerError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    413: TooLarge,
    422: InvalidInput,
    429: TooMany,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_LONGEST_DETAIL = 300


def error_of(problem: Problem) -> TunerError:
    """Return the error a problem document stands for; an unknown slug goes by its status."""
    slug = problem.type.rstrip("/").rpartition("/")[2].rpartition(":")[2].rpartition("#")[2]
    kind = BY_SLUG.get(slug) or _BY_STATUS.get(problem.status, TunerError)
    detail = problem.detail or problem.title
    extra = {key: value for key, value in problem.extra.items() if key not in ("detail", "faults")}
    if issubclass(kind, InvalidInput):
        faults = [
            Fault(where=one.get("where", ""), message=one.get("message", ""))
            for one in problem.faults
        ]
        return kind(detail, faults, **extra)
    return kind(detail, **extra)


def raise_for_problem(response: httpx.Response) -> None:
    """Raise the domain error that a refused request's response carries; do nothing on success.

    The body must have been read. `Retry-After` in seconds becomes `extra["retry_after"]`. A
    response that is no problem document (of a proxy, say) is told by its status.
    """
    if response.is_success:
        return
    error = error_of(_problem(response))
    after = _retry_after(response)
    if after is not None:
        error.extra = {**error.extra, "retry_after": after}
    raise error


def retry_after(error: TunerError) -> float | None:
    """Return after how many seconds the server wants to be asked again, if it said so."""
    after: Any = error.extra.get("retry_after")
    return float(after) if isinstance(after, int | float) and after >= 0 else None


def _problem(response: httpx.Response) -> Problem:
    if "json" in response.headers.get("content-type", ""):
        try:
            return Problem.model_validate_json(response.content)
        except ValidationError:
            pass
    text = " ".join(response.text.split())[:_LONGEST_DETAIL]
    title = f"the server answered {response.status_code} {response.reason_phrase}".strip()
    return Problem(
        type="about:blank",
        title=title,
        status=response.status_code,
        detail=f"{title}: {text}" if text else title,
    )


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
