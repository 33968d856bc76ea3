"""The file with a trial's decision."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from tuner.decision import Decision
from tuner.worker.told import DecisionFile, decision_file


class Handle:
    """A trial's handle; the thread called `early` has to wait in the middle of a look."""

    def __init__(self) -> None:
        self.decision = Decision()
        self.looking = threading.Event()
        self.go_on = threading.Event()

    @property
    def leaving(self) -> bool:
        if threading.current_thread().name == "early":
            self.looking.set()
            assert self.go_on.wait(60)
        return False


def test_a_look_from_before_a_decision_never_replaces_it(tmp_path: Path) -> None:
    handle = Handle()
    told = DecisionFile(tmp_path, handle)
    handle.decision = Decision(lr_factor=0.5)
    early = threading.Thread(target=told.refresh, name="early")
    early.start()
    assert handle.looking.wait(60)
    handle.decision = Decision(lr_factor=0.25)
    late = threading.Thread(target=told.refresh)
    late.start()
    late.join(0.2)
    handle.go_on.set()
    early.join()
    late.join()
    assert json.loads(decision_file(tmp_path).read_text())["lr_factor"] == 0.25
