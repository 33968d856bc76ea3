"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One place where a database breaks a rule: the rule's name, whose it is, and a sentence."""

    rule: str
    message: str
    study: str | None = None
    trial: int | None = None

    def __str__(self) -> str:
        whose = [] if self.study is None else [f"study {self.study!r}"]
        whose += [] if self.trial is None else [f"trial {self.trial}"]
        return f"{self.rule}: {' '.join([*whose, self.message])}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule as a query for the rows that break it.

    The query names its columns: `study` and `trial` say whose the row is (both may be absent), the
    others fill the message.
    """

    name: str
    query: str
    message: str

    def finding(self, row: Mapping[str, Any]) -> Finding:
        """Return what a row of the query says."""
        return Finding(
            rule=self.name,
            message=self.message.format(**row),
            study=row.get("study"),
            trial=row.get("trial"),
        )
