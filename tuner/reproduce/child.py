"""The process that runs a trial again: `python -m tuner.reproduce.child FOLDER`.

`FOLDER` holds `start.json` (the worker's message to its child) and `replay.json`; reports are
written into `reports.jsonl` as they come, and the end into `end.json`.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from pathlib import Path

from tuner.decision import Decision
from tuner.reproduce.replay import Replay
from tuner.wire import DecisionView
from tuner.worker.child import Child
from tuner.worker.messages import Decided, Done, Reported, Start, ToChild, ToParent


class ReplayLine:
    """The child's end of a channel at whose other end the record stands."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replay = Replay.model_validate_json((folder / "replay.json").read_bytes())
        start = Start.model_validate_json((folder / "start.json").read_bytes())
        self._waiting: deque[ToChild] = deque([start])

    def send(self, message: ToParent) -> None:
        """Take a message: write reports down and answer them."""
        match message:
            case Reported():
                self._write(message)
                view = _view(self._replay.decision(message.step))
                self._waiting.append(Decided(seq=message.seq, decision=view))
            case Done():
                text = message.model_dump_json(exclude={"code"})
                (self._folder / "end.json").write_text(text, encoding="utf-8")
            case _:
                pass  # checkpoints are of no use here

    def receive(self, timeout: float | None) -> ToChild | None:
        """Return what is to be said next; None if there is nothing."""
        return self._waiting.popleft() if self._waiting else None

    def _write(self, report: Reported) -> None:
        with (self._folder / "reports.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps([report.step, report.value]) + "\n")


def _view(decision: Decision) -> DecisionView:
    return DecisionView(
        action=decision.action,
        lr_factor=decision.lr_factor,
        reason=decision.reason,
        outcome=decision.outcome,
    )


if __name__ == "__main__":
    Child(ReplayLine(Path(sys.argv[1]))).serve()
