"""How much of a GPU's memory a trial holds: as NVIDIA's library sees it, and as torch does."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Collection
from typing import Any, Self

from tuner.worker.gpus import Gpu

CONTEXT_BYTES = 512 << 20
"""What a process holds of a GPU beside torch's memory, where nothing measures it: about what CUDA's
context and the libraries' kernels take."""


class GpuMemory:
    """The memory of a worker's GPUs, by NVIDIA's management library.

    Args:
        total: of the smallest, in bytes.
    """

    def __init__(self, nvml: Any, handles: Collection[Any], total: int) -> None:
        self._nvml = nvml
        self._handles = handles
        self.total = total

    @classmethod
    def open(cls, gpus: Collection[Gpu]) -> Self | None:
        """Return a reader, None where there is no such library, driver or GPU."""
        if not gpus:
            return None
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return None
        try:
            nvml.nvmlInit()
            handles = [_handle(nvml, gpu.ident) for gpu in gpus]
            total = min(int(nvml.nvmlDeviceGetMemoryInfo(handle).total) for handle in handles)
        except nvml.NVMLError:
            return None
        return cls(nvml, handles, total)

    def held(self) -> dict[int, int]:
        """Return the most that each process holds of one GPU, in bytes by pid.

        Processes are missing whose memory the driver does not tell, as within some containers.
        """
        found: dict[int, int] = {}
        for handle in self._handles:
            with contextlib.suppress(self._nvml.NVMLError):
                for one in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    used = one.usedGpuMemory
                    if used:
                        found[int(one.pid)] = max(int(used), found.get(int(one.pid), 0))
        return found


def _handle(nvml: Any, ident: str) -> Any:
    if ident.isdecimal():
        return nvml.nvmlDeviceGetHandleByIndex(int(ident))
    return nvml.nvmlDeviceGetHandleByUUID(ident)


def peak_here() -> int:
    """Return the most of one GPU's memory that torch reserved in this process; 0 without CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    devices = range(torch.cuda.device_count())
    return max((torch.cuda.max_memory_reserved(device) for device in devices), default=0)
