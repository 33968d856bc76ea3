"""One of a trial's processes: started by torchrun as `python -m tuner.worker.rank SOCKET`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tuner.worker import runner
from tuner.worker.collective import CollectiveTrial
from tuner.worker.current import being
from tuner.worker.linux import die_with_parent


def main(arguments: list[str]) -> int:
    """Run this rank's part of the trial; return the exit code that torchrun looks at."""
    (path,) = arguments
    die_with_parent(os.getppid())
    trial = CollectiveTrial(Path(path), int(os.environ["RANK"]))
    trial.die_with_hub()
    with being(trial):
        done = runner.run(trial, trial.start)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    trial.end(done)
    return int(done.outcome in ("failed", "oom"))


if __name__ == "__main__":
    # As in a slot's child, the user's threads and exit functions do not hold the end up.
    os._exit(main(sys.argv[1:]))
