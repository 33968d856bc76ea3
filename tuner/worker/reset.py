"""What a warm child puts back between two trials, so that none notices the one before."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGUSR1, signal.SIGUSR2)


class Baseline:
    """The process's state before its first trial."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._folder = Path.cwd()
        self._path = list(sys.path)
        self._argv = list(sys.argv)
        self._streams = (sys.stdin, sys.stdout, sys.stderr)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._handlers = {one: signal.getsignal(one) for one in _SIGNALS}

    def restore(self, work: Path) -> None:
        """Put everything back but the libraries' state; temporary files go to `work`."""
        os.environ.clear()
        os.environ.update(self._environment, TMPDIR=str(work))
        tempfile.tempdir = None
        os.chdir(self._folder)
        os.umask(self._umask)
        sys.path[:] = self._path
        sys.argv[:] = self._argv
        sys.stdin, sys.stdout, sys.stderr = self._streams
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def leaves_threads(self) -> bool:
        """Tell whether threads of the trial still run that would keep the process alive."""
        return any(
            one is not threading.main_thread() and not one.daemon and one.is_alive()
            for one in threading.enumerate()
        )


def reset_libraries(seed: int, threads: int) -> None:
    """Start the random streams from `seed` and put torch's settings back, as far as loaded."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        _reset_torch(torch, seed, threads)


def release_memory() -> None:
    """Let go of what the ended trial held, on the GPU too.

    What is left, mostly modules, is set aside, so that the next collection is quick.
    """
    gc.collect()
    gc.freeze()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _reset_torch(torch: Any, seed: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.manual_seed(seed)
