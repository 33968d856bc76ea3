"""Which device a training runs on, how exact its arithmetic is, and what a GPU says of itself."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tuner.errors import InvalidInput


def choose(name: str) -> torch.device:
    """Return the device that an option names.

    Raises:
        InvalidInput: CUDA is asked for and not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise InvalidInput(
                f"device {name} is asked for, and this node has {count} CUDA devices"
            )
        device = torch.device("cuda", device.index or 0)
    return device


@contextmanager
def arithmetic(device: torch.device, *, deterministic: bool) -> Iterator[None]:
    """Hold CUDA to true float32, and to repeatable kernels if asked; then set all back."""
    if device.type != "cuda":
        yield
        return
    matmul_tf32 = torch.backends.cuda.matmul.allow_tf32
    strict = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        # Read by cuBLAS when its first handle is made; LSTMs need it.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.use_deterministic_algorithms(deterministic or strict)
        flags = {"benchmark": False, "deterministic": deterministic, "allow_tf32": False}
        with torch.backends.cudnn.flags(enabled=True, **flags), warnings.catch_warnings():
            # Weights are views of one vector in the order of the parameters, not in cuDNN's.
            warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul_tf32
        torch.use_deterministic_algorithms(strict)


class GpuMeter:
    """Read a GPU's load and this process's peak memory; on the CPU there is nothing to read."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._nvml: Any = None
        self._handle: Any = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._open()

    def _open(self) -> None:
        # By UUID: CUDA_VISIBLE_DEVICES renumbers torch's devices and not NVML's.
        try:
            nvml = importlib.import_module("pynvml")
        except ImportError:
            return
        try:
            nvml.nvmlInit()
            uuid = f"GPU-{torch.cuda.get_device_properties(self._device).uuid}"
            self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            self._nvml = nvml
        except nvml.NVMLError:
            return

    def read(self) -> dict[str, float]:
        """Return `gpu_util` (percent, in the driver's last sample) and `gpu_mem_peak_mb` (MiB)."""
        if self._device.type != "cuda":
            return {}
        peak = torch.cuda.max_memory_allocated(self._device) / 2**20
        metrics = {"gpu_mem_peak_mb": peak}
        if self._handle is not None:
            try:
                rates = self._nvml.nvmlDeviceGetUtilizationRates(self._handle)
            except self._nvml.NVMLError:
                return metrics
            metrics["gpu_util"] = float(rates.gpu)
        return metrics
