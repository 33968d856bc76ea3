"""How much of a GPU's memory trials hold, by a library that is faked here."""

# ruff: noqa: N802 (the library names its functions so)

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tuner.worker.gpus import Gpu
from tuner.worker.memory import GpuMemory, peak_here

GIB = 1 << 30
GPUS = (Gpu(ident="1", name="g"), Gpu(ident="GPU-ab", name="g"))


class NVMLError(Exception):
    """As the library's own."""


class FakeNvml:
    """The part of NVIDIA's library that is used: two GPUs, processes by GPU."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        self.total = {"1": 80 * GIB, "GPU-ab": 40 * GIB}
        self.running: dict[str, list[tuple[int, int | None]]] = {"1": [], "GPU-ab": []}
        self.broken: set[str] = set()
        self.driver = True

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NVMLError("driver not loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        if handle not in self.total:
            raise NVMLError("not found")
        return SimpleNamespace(total=self.total[handle])

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:
        if handle in self.broken:
            raise NVMLError("gpu is lost")
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.running[handle]]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_the_smallest_gpu_counts(nvml: FakeNvml) -> None:
    memory = GpuMemory.open(GPUS)
    assert memory is not None
    assert memory.total == 40 * GIB


def test_a_process_counts_with_the_gpu_on_which_it_holds_most(nvml: FakeNvml) -> None:
    nvml.running = {"1": [(7, 2 * GIB), (8, GIB), (9, None)], "GPU-ab": [(7, 3 * GIB)]}
    memory = GpuMemory.open(GPUS)
    assert memory is not None
    assert memory.held() == {7: 3 * GIB, 8: GIB}
    nvml.broken = {"GPU-ab"}
    assert memory.held() == {7: 2 * GIB, 8: GIB}


@pytest.mark.parametrize("why", ["no gpus", "no driver", "no such gpu", "no library"])
def test_without_gpus_nothing_is_measured(
    nvml: FakeNvml, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus: tuple[Gpu, ...] = () if why == "no gpus" else GPUS
    if why == "no driver":
        nvml.driver = False
    if why == "no such gpu":
        del nvml.total["1"]
    if why == "no library":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    assert GpuMemory.open(gpus) is None


class FakeCuda:
    """Two devices of torch's."""

    def __init__(self, *, initialized: bool) -> None:
        self._initialized = initialized

    def is_initialized(self) -> bool:
        return self._initialized

    def device_count(self) -> int:
        return 2

    def max_memory_reserved(self, device: int) -> int:
        return (device + 1) * GIB


@pytest.mark.parametrize(("initialized", "peak"), [(False, 0), (True, 2 * GIB)])
def test_torchs_peak_is_that_of_one_gpu(
    monkeypatch: pytest.MonkeyPatch, initialized: bool, peak: int
) -> None:
    torch = SimpleNamespace(cuda=FakeCuda(initialized=initialized))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert peak_here() == peak
    monkeypatch.delitem(sys.modules, "torch")
    assert peak_here() == 0
