"""Messages about files of trials: checkpoints and artifacts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tuner.artifact import ArtifactName
from tuner.wire.base import Reply, Request, Step

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0, lt=2**53)]
Attempt = Annotated[int, Field(ge=1, lt=2**31)]
Upload = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class AskUpload(Request):
    """POST /leases/{lease}/uploads: a place for a checkpoint of `step`, without it an artifact."""

    attempt: Attempt
    step: Step | None = None
    sha256: Sha256
    size: Size


class UploadPlace(Reply):
    """Where to put the file: PUT it at `url` with `headers`, then register it as `upload`.

    Without a `url` the server takes the file itself. A request begun within `expires_s` counts.
    """

    upload: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    expires_s: float = 0.0


class RegisterCheckpoint(Request):
    """POST /leases/{lease}/checkpoints/{step}: a checkpoint that was put into the store."""

    attempt: Attempt
    upload: Upload
    sha256: Sha256
    size: Size


class RegisterArtifact(Request):
    """POST /leases/{lease}/artifacts: a file that was put into the store."""

    attempt: Attempt
    name: ArtifactName
    upload: Upload
    sha256: Sha256
    size: Size


class RejectCheckpoint(Request):
    """POST /leases/{lease}/checkpoint/reject: what came is not what the lease named."""

    attempt: Attempt
    sha256: Sha256
    reason: Annotated[str, Field(max_length=500)] = ""


class KeptCheckpointView(Reply):
    """A checkpoint that is kept. `last`: the newest; `best`: at the best value's step."""

    attempt: int
    step: int
    size: int
    sha256: str
    at: datetime
    last: bool
    best: bool


class CheckpointList(Reply):
    """GET /studies/{study}/trials/{number}/checkpoints."""

    items: list[KeptCheckpointView]


class ArtifactView(Reply):
    """A file that a trial keeps. `preview`: what its name says it may be shown as."""

    name: str
    attempt: int
    size: int
    sha256: str
    at: datetime
    preview: Literal["text", "image"] | None = None


class ArtifactPage(Reply):
    """GET /studies/{study}/trials/{number}/artifacts, in order of names."""

    items: list[ArtifactView]
    next_cursor: str | None = None
