"""Messages about what an attempt ran on and with: code, packages, machine.

Each has two classes: what is read, tolerant as all replies, and what is given, strict.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from tuner.wire.base import Reply, Request

LONGEST_DIFF = 256 * 1024
"""Characters of a diff that are kept."""
MOST_FILES = 1000
MOST_PACKAGES = 5000

Line = Annotated[str, Field(max_length=500)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileHashes = Annotated[dict[Line, Digest], Field(max_length=MOST_FILES)]
Packages = Annotated[
    dict[Annotated[str, Field(max_length=200)], Annotated[str, Field(max_length=200)]],
    Field(max_length=MOST_PACKAGES),
]
Part = Literal["packages", "code"]


class Code(Reply):
    """The code an attempt ran: a commit and what differs from it, or hashes of files.

    `diff` goes from the commit to the files as they were, those that git tracks; of `diff_size`
    characters it holds the first ones, and `masked` secrets in it were replaced. `files` are hashes
    (SHA-256) of what no commit holds: without git the code itself, else Python files that git does
    not track. Paths are relative to `root`, `folder` among them.
    """

    kind: Literal["git", "files", "none"]
    root: Line = ""
    folder: Line = ""
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None = None
    branch: Line | None = None
    remote: Line | None = None
    diff: Annotated[str, Field(max_length=LONGEST_DIFF)] = ""
    diff_size: Annotated[int, Field(ge=0)] = 0
    masked: Annotated[int, Field(ge=0)] = 0
    files: FileHashes = Field(default_factory=dict)
    note: Line = ""


class GivenCode(Code, Request):
    """Code, as a worker or an own loop names it."""


class Machine(Reply):
    """What an attempt ran on. `program` is the entrypoint, the command's words, or the task.

    `gpus` are the machine's, in the driver's order. `devices` are those the attempt was given, by
    their place in it where that is known, else as CUDA_VISIBLE_DEVICES names them. `packages` and
    `code` are the digests of these parts.
    """

    tuner: Line
    python: Line
    executable: Line = ""
    host: Line
    os: Line
    cpu: Line = ""
    cores: Annotated[int, Field(ge=0)] = 0
    gpus: Annotated[list[Line], Field(max_length=64)] = Field(default_factory=list)
    devices: Annotated[list[Line], Field(max_length=64)] = Field(default_factory=list)
    driver: Line = ""
    cuda: Line = ""
    worker: Line = ""
    program: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(max_length=500)] = Field(
        default_factory=list
    )
    variables: Annotated[
        dict[Line, Annotated[str, Field(max_length=1000)]], Field(max_length=64)
    ] = Field(default_factory=dict)
    packages: Digest
    code: Digest


class GivenMachine(Machine, Request):
    """A machine, as a worker or an own loop names it."""


class RecordEnvironment(Request):
    """PUT /leases/{lease}/environment. Parts that the server has may be left out."""

    attempt: Annotated[int, Field(ge=1)]
    machine: GivenMachine
    packages: Packages | None = None
    code: GivenCode | None = None


class EnvironmentRecorded(Reply):
    """Reply to PUT /leases/{lease}/environment.

    Unless `missing` is empty nothing was stored: send it again with these parts.
    """

    missing: list[Part] = Field(default_factory=list)


class EnvironmentView(Reply):
    """What an attempt ran on and with."""

    attempt: int
    started_at: datetime
    machine: Machine
    packages: dict[str, str]
    code: Code


class EnvironmentPage(Reply):
    """GET /studies/{study}/trials/{number}/environments."""

    items: list[EnvironmentView]
    next_cursor: str | None = None
