"""What the messages share: strict requests, tolerant replies, bounded fields, problems."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from tuner.text import MetricName

Step = Annotated[int, Field(ge=0, lt=2**31)]
Token = Annotated[str, Field(min_length=8, max_length=100, pattern=r"^[A-Za-z0-9_-]+$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Param = StrictBool | StrictInt | Finite | Annotated[StrictStr, Field(max_length=200)]
Params = Annotated[dict[str, Param], Field(max_length=200)]
Metrics = Annotated[dict[MetricName, Finite], Field(max_length=200)]
Text = Annotated[str, Field(max_length=20_000)]


class Request(BaseModel):
    """Base of what clients send: strict, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Reply(BaseModel):
    """Base of what the server sends. Clients ignore keys they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Health(Reply):
    """GET /healthz and GET /readyz."""

    status: Literal["ok"] = "ok"


class Problem(Reply):
    """RFC 9457 problem document. `type` ends with the slug of `tuner.errors`.

    `instance` names the request, as the server's log does; a report's own problem has none.
    """

    type: str
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    faults: list[dict[str, str]] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)
