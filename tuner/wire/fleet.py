"""Messages about what workers did when."""

from __future__ import annotations

from typing import Any

from tuner.wire.base import Reply


class Attempts(Reply):
    """GET /attempts: attempts as columns, those that started last first.

    Columns: study_id, number, attempt, worker_id (null for an own loop), started, ended (null while
    it runs), end (`ended`, `lost`, `released`, `failed`), outcome (the trial's, if the attempt
    ended it) and devices (the GPUs it was given, as its machine names them; empty where it had none
    of its own, or did not say). Times are seconds since 1970. `studies` names the studies by id.
    """

    studies: dict[int, str]
    columns: dict[str, list[Any]]
    next_cursor: str | None = None
