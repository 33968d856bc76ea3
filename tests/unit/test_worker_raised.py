"""What an exception says of a trial's end: whose memory ran out, what may be the node's fault."""

from __future__ import annotations

import pytest
import torch

from tuner.errors import InvalidInput
from tuner.worker.raised import LONGEST_ERROR, printed_out_of_memory, raised

SAID = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU {} has a total capacity of 1.00 GiB"


def caught(exc: BaseException) -> BaseException:
    """Return an exception with frames, as user code raises it."""

    def fail() -> None:
        raise exc

    try:
        fail()
    except BaseException as found:
        return found
    raise AssertionError


class ResourceExhaustedError(Exception):
    """TensorFlow's."""


@pytest.mark.parametrize(
    ("exc", "outcome", "said"),
    [
        (MemoryError(), "oom", "the host's memory ran out: MemoryError"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "oom",
            "the host's memory ran out: RuntimeError",
        ),
        (torch.OutOfMemoryError(SAID.format(0)), "oom", "the memory of GPU 0 ran out: torch"),
        (torch.OutOfMemoryError("CUDA out of memory."), "oom", "the memory of the GPU ran out: "),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
            "oom",
            "the memory of the GPU ran out: RuntimeError",
        ),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "oom", "the memory of the GPU ran out"),
        (ResourceExhaustedError("OOM"), "oom", "the memory of the GPU ran out: "),
        (RuntimeError("CUDA error: an illegal memory access"), "failed", "\nRuntimeError: CUDA"),
        (ValueError("out of memory, he said"), "failed", "\nValueError: out of memory"),
    ],
)
def test_memory_that_ran_out_is_named(
    monkeypatch: pytest.MonkeyPatch, exc: BaseException, outcome: str, said: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    done = raised(caught(exc))
    assert done.outcome == outcome
    assert said in done.error
    assert "in fail" in done.error


@pytest.mark.parametrize(
    ("visible", "index", "named"),
    [("4", 0, "GPU 4"), ("2,5", 1, "GPU 5"), ("GPU-ab12", 0, "GPU-ab12"), ("", 1, "GPU 1")],
)
def test_a_gpu_is_named_as_the_node_does(
    monkeypatch: pytest.MonkeyPatch, visible: str, index: int, named: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    done = raised(caught(torch.OutOfMemoryError(SAID.format(index))))
    assert f"the memory of {named} ran out: " in done.error


@pytest.mark.parametrize(
    ("exc", "node", "retry"),
    [
        (ValueError("broken"), False, True),
        (InvalidInput("a parameter"), False, False),
        (ImportError("libcudart.so.12: cannot open shared object file"), True, True),
        (OSError(28, "No space left on device"), True, True),
        (RuntimeError("CUDA error: device-side assert triggered"), True, True),
        (RuntimeError("No CUDA GPUs are available"), True, True),
        (torch.OutOfMemoryError("CUDA out of memory."), False, True),
        (RuntimeError("shapes do not match"), False, True),
    ],
)
def test_what_may_be_the_nodes_fault_is_told(exc: Exception, node: bool, retry: bool) -> None:
    done = raised(caught(exc))
    assert (done.node, done.retry, done.clean) == (node, retry, False)


@pytest.mark.parametrize("at", range(0, 9000, 900))
def test_a_secret_is_hidden_before_the_text_is_cut(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    secret = "0123456789" * 20
    monkeypatch.setenv("THE_PASSWORD", secret)
    done = raised(caught(ValueError("x" * at + secret + "y" * (9000 - at))))
    assert "0123" not in done.error
    assert len(done.error) <= LONGEST_ERROR


def test_deep_recursion_is_short() -> None:
    def deep() -> None:
        deep()

    try:
        deep()
    except RecursionError as exc:
        done = raised(exc)
    assert "RecursionError" in done.error.splitlines()[-1]
    assert "repeated" in done.error


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("MemoryError", "host"),
        ("MemoryError: all", "host"),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2 TiB", "host"),
        ("RuntimeError: DefaultCPUAllocator: can't allocate memory", "host"),
        (f"torch.OutOfMemoryError: {SAID.format(0)}", "gpu"),
        (f"torch.cuda.OutOfMemoryError: {SAID.format(0)}", "gpu"),
        ("torch.AcceleratorError: CUDA error: out of memory", "gpu"),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate", "gpu"),
        ("jaxlib._jax.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory", "gpu"),
        ("RuntimeError: CUDA error: an illegal memory access", None),
        ("warning: CUDA out of memory, going on with less", None),
        ("ValueError: MemoryError", None),
        ("", None),
    ],
)
def test_memory_that_ran_out_is_told_by_the_printed_line(line: str, where: str | None) -> None:
    assert printed_out_of_memory(line) == where
