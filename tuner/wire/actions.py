"""Messages of what people do by hand: to trials, as notes and tags, as saved views."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from tuner.text import Label
from tuner.wire.base import Reply, Request

Why = Annotated[str, Field(max_length=500)]


def _no_comma(text: str) -> str:
    if "," in text:
        raise ValueError("',' is not allowed: lists of tags are written with it")
    return text


Tag = Annotated[Label, Field(max_length=40), AfterValidator(_no_comma)]


class StopTrial(Request):
    """POST /studies/{study}/trials/{number}/stop: end one trial as cancelled."""

    why: Why = ""


class CutRate(Request):
    """POST /studies/{study}/trials/{number}/rate: multiply a running trial's rate from now on."""

    factor: Annotated[float, Field(ge=0.01, le=0.99)] = 0.5
    why: Why = ""


class ChangeRemark(Request):
    """PATCH .../remark. What is absent stays. Only studies are pinned."""

    text: Annotated[str, Field(max_length=10_000)] | None = None
    tags: Annotated[list[Tag], Field(max_length=30)] | None = None
    pinned: bool | None = None


class RemarkView(Reply):
    """A note, tags and a pin. `version` in quotes goes into `If-Match`."""

    text: str = ""
    tags: list[str] = Field(default_factory=list)
    pinned: bool = False
    by: str = ""
    at: datetime | None = None
    version: str = ""


class SaveView(Request):
    """POST /views: keep a page of the dashboard under a name, in the place of one so named.

    `query` is its query string without the question mark. `project` says who sees it; None: those
    whose tokens are of no project. A token of a project saves for that project.
    """

    name: Label
    query: Annotated[str, Field(max_length=2000, pattern=r"^[!-~]*$")]
    project: Label | None = None


class ViewShown(Reply):
    """A saved view."""

    id: str
    name: str
    query: str
    project: str | None = None
    created_by: str
    created_at: datetime


class ViewPage(Reply):
    """GET /views: all that the caller may see, oldest first."""

    items: list[ViewShown]
