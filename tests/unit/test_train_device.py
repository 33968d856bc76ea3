from __future__ import annotations

import pytest
import torch

from tuner.errors import InvalidInput
from tuner.train import device


def _settings() -> tuple[bool, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


@pytest.mark.parametrize("deterministic", [False, True])
def test_arithmetic_on_cuda_is_float32_and_set_back(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = _settings()
    seen: list[tuple[bool, ...]] = []

    def fail_in_mid_training() -> None:
        with device.arithmetic(torch.device("cuda", 0), deterministic=deterministic):
            seen.append(_settings())
            raise RuntimeError("in mid-training")

    with pytest.raises(RuntimeError, match="in mid-training"):
        fail_in_mid_training()
    assert seen == [(False, False, deterministic, deterministic)]
    assert _settings() == before
    assert before[1]  # else the test shows nothing


def test_arithmetic_on_the_cpu_changes_nothing() -> None:
    before = _settings()
    with device.arithmetic(torch.device("cpu"), deterministic=True):
        assert _settings() == before


def test_the_cpu_has_a_name_and_no_meter() -> None:
    cpu = device.choose("cpu")
    assert cpu == torch.device("cpu")
    assert device.GpuMeter(cpu).read() == {}


def test_a_device_beyond_the_last_is_refused() -> None:
    with pytest.raises(InvalidInput, match="cuda:99"):
        device.choose("cuda:99")


def test_auto_is_cuda_where_there_is_a_device() -> None:
    assert (device.choose("auto").type == "cuda") == torch.cuda.is_available()
