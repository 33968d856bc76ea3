"""What a trial's program is told: its environment, and the file with the newest decision."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tuner.command import param_texts, text_of
from tuner.decision import Decision
from tuner.worker.current import SOCKET
from tuner.worker.messages import Start

DECISION_FILE = "TUNER_DECISION_FILE"
"""Environment variable that says where the newest decision is written."""


def environment(base: Mapping[str, str], start: Start, broker: Path) -> dict[str, str]:
    """Return the environment of a trial's program.

    The folder of this interpreter comes first on `PATH`, so that `python` and `tuner` are the
    worker's own.
    """
    assert start.command is not None
    about: dict[str, float | int | str | None] = {
        "TUNER_STUDY": start.study,
        "TUNER_TRIAL": start.number,
        "TUNER_ATTEMPT": start.attempt,
        "TUNER_SEED": start.seed,
        "TUNER_STEPS": start.steps,
        "TUNER_METRIC": start.metric,
        "TUNER_LR_FACTOR": start.lr_factor,
        "TUNER_FOLDER": start.work,
        "TUNER_RESUME": None if start.resume is None else start.resume.path,
        "TUNER_RESUME_STEP": None if start.resume is None else start.resume.step,
        "TUNER_PARAMS": json.dumps(start.params),
        SOCKET: str(broker),
        DECISION_FILE: str(decision_file(Path(start.work))),
    }
    named = {f"TUNER_PARAM_{k.upper()}": text for k, text in param_texts(start.params).items()}
    told = {key: text_of(value) for key, value in about.items() if value is not None}
    path = os.pathsep.join(filter(None, (str(Path(sys.executable).parent), base.get("PATH"))))
    # A program's lines are wanted when they are printed, and not when a buffer is full.
    return {"PYTHONUNBUFFERED": "1", **base, "PATH": path, **start.command.env, **named, **told}


def decision_file(work: Path) -> Path:
    """Return where the newest decision of the trial with this folder is written."""
    return work / "decision.json"


class Standing(Protocol):
    """What of a trial's handle a decision's file shows."""

    @property
    def decision(self) -> Decision: ...

    @property
    def leaving(self) -> bool: ...


class DecisionFile:
    """The decision a trial's handle stands at, in a file replaced as a whole. Safe for threads."""

    def __init__(self, work: Path, handle: Standing) -> None:
        self._path = decision_file(work)
        self._handle = handle
        self._text = ""
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Write where the handle stands, if that changed; on a full disk the old file stays."""
        with self._lock:
            text = self._standing()
            if text == self._text:
                return
            new = self._path.with_suffix(".new")
            with contextlib.suppress(OSError):
                new.write_text(text + "\n", encoding="utf-8")
                new.replace(self._path)
                self._text = text

    def _standing(self) -> str:
        decision = self._handle.decision
        return json.dumps(
            {
                "action": decision.action.value,
                "lr_factor": decision.lr_factor,
                "reason": decision.reason,
                "outcome": decision.outcome,
                "should_stop": self._handle.leaving,
            }
        )
