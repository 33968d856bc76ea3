"""The machine: host, system, processor, GPUs and their driver, a few harmless variables."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_DEVICE_ORDER",
    "CUDA_LAUNCH_BLOCKING",
    "CUDA_VISIBLE_DEVICES",
    "MKL_NUM_THREADS",
    "NCCL_ALGO",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
    "PYTORCH_CUDA_ALLOC_CONF",
    "TF_DETERMINISTIC_OPS",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "XLA_FLAGS",
)
"""Variables that may change results and hold no secrets. No other one is recorded."""


_DEVICES = ("CUDA_DEVICE_ORDER", "CUDA_VISIBLE_DEVICES")


_MOST_DEVICES = 64


class Gpus(NamedTuple):
    """The GPUs of this node. `cuda` is the newest version that the driver runs."""

    names: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    driver: str = ""
    cuda: str = ""


def variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those of `VARIABLES` that are set."""
    return {name: environment[name][:1000] for name in VARIABLES if name in environment}


def devices(environment: Mapping[str, str], uuids: Sequence[str]) -> list[str]:
    """Return the GPUs that an environment gives a process; none if it does not say.

    A UUID, whole or its beginning, becomes its place among `uuids`, where it is one of them.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
    given = [name.strip() for name in named if name.strip() not in ("", "-1", "NoDevFiles")]
    return [_place(name, uuids) for name in given[:_MOST_DEVICES]]


def _place(name: str, uuids: Sequence[str]) -> str:
    found = [i for i, uuid in enumerate(uuids) if name.startswith("GPU-") and uuid.startswith(name)]
    return str(found[0]) if len(found) == 1 else name[:100]


def variables_again(recorded: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which `VARIABLES` are as recorded, but for this machine's devices.

    Those that were not set are not set in it.
    """
    kept = {k: v for k, v in environment.items() if k not in VARIABLES or k in _DEVICES}
    return kept | {k: v for k, v in variables(recorded).items() if k not in _DEVICES}


@cache
def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())[:500]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0


@cache
def gpus() -> Gpus:
    """Ask NVIDIA's management library, without touching CUDA; nothing where there is none."""
    try:
        import pynvml
    except ImportError:
        return Gpus()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return Gpus()
    try:
        every = range(min(_MOST_DEVICES, pynvml.nvmlDeviceGetCount()))
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in every]
        names = tuple(str(pynvml.nvmlDeviceGetName(one)) for one in handles)
        uuids = tuple(str(pynvml.nvmlDeviceGetUUID(one)) for one in handles)
        number = int(pynvml.nvmlSystemGetCudaDriverVersion())
        cuda = f"{number // 1000}.{number % 1000 // 10}"
        return Gpus(names, uuids, str(pynvml.nvmlSystemGetDriverVersion()), cuda)
    except pynvml.NVMLError:
        return Gpus()
    finally:
        pynvml.nvmlShutdown()


@cache
def tuner_version() -> str:
    """Return the version of this package."""
    try:
        return version("tuner")
    except PackageNotFoundError:
        return "0"
