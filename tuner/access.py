"""Who may do what, as values: roles, tokens, identities, and what the audit log keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

ADMIN_NAME = "admin"
"""Name and id of the built-in admin token, which is in no table."""
WORKER_NAME = "built-in-worker"
"""Name and id of the built-in worker token, which is in no table either."""


class Role(StrEnum):
    """What a token is for. An admin may do all; a worker only serves the trials it holds."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    WORKER = "worker"
    ADMIN = "admin"


_PEOPLE = (Role.VIEWER, Role.SUBMITTER, Role.ADMIN)


def allowed(least: Role) -> frozenset[Role]:
    """Return the roles that may do what needs `least`: people by rank; a worker or an admin."""
    if least is Role.WORKER:
        return frozenset({Role.WORKER, Role.ADMIN})
    return frozenset(_PEOPLE[_PEOPLE.index(least) :])


@dataclass(frozen=True, kw_only=True)
class Token:
    """A token as it is kept: `digest` is the SHA-256 of its secret, in hexadecimal.

    With a `project` it reaches only studies of that project.
    """

    token_id: str
    digest: str
    name: str
    role: Role
    project: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        """Tell whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who sent a request, by the token it came with."""

    name: str
    role: Role
    project: str | None
    token_id: str

    def sees(self, project: str) -> bool:
        """Tell whether studies of a project exist for this one."""
        return self.project is None or self.project == project


BUILT_IN_ADMIN = Identity(name=ADMIN_NAME, role=Role.ADMIN, project=None, token_id=ADMIN_NAME)


def built_in_worker(project: str | None) -> Identity:
    """Return who the built-in worker token stands for."""
    return Identity(name=WORKER_NAME, role=Role.WORKER, project=project, token_id=WORKER_NAME)


@dataclass(frozen=True, kw_only=True)
class AuditEntry:
    """Something a person changed. `seq` is given by the database, in order."""

    at: datetime
    who: str
    token_id: str
    address: str
    action: str
    study_id: int | None = None
    study: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    seq: int | None = None
