"""Messages about the study document itself: its schema, and the built-in tasks."""

from __future__ import annotations

from typing import Any, Literal

from tuner.wire.base import Reply


class TaskView(Reply):
    """A built-in task: epochs of a full training, and the metrics that it may be tuned on."""

    name: str
    description: str
    steps: int
    objectives: dict[str, Literal["min", "max"]]


class DocumentSchema(Reply):
    """GET /schema: the JSON schema of the study document, with descriptions and defaults."""

    document: dict[str, Any]
    tasks: list[TaskView]
