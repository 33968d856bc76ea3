"""What an exception of the user's code says about the end of its trial."""

from __future__ import annotations

import os
import re
import sys
import traceback
from typing import Literal

from tuner.errors import InvalidInput
from tuner.secrets import Masker
from tuner.worker.messages import Done

LONGEST_ERROR = 8192
"""Characters of a traceback that are kept: its end, with the error's name and message."""
_HALF_MESSAGE = 1000
_GPU = re.compile(r"\bGPU (\d+)\b")
_NODE = (ImportError, OSError)
"""Errors that may be the node's: a library, a driver, a disk, a folder that is missing here."""

_HOST_FULL = "can't allocate memory"
_GPU_FULL = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "_STATUS_ALLOC_FAILED",
    "RESOURCE_EXHAUSTED",
)
_CALLED = re.compile(r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*(?:Error|Exception))")
_OF_HOST = ("MemoryError", "_ArrayMemoryError")
_OF_GPU = ("OutOfMemoryError", "ResourceExhaustedError")

Where = Literal["host", "gpu"]


def raised(exc: BaseException) -> Done:
    """Return the end of a trial whose code, or its import, raised `exc`."""
    where = out_of_memory(exc)
    return Done(
        outcome="failed" if where is None else "oom",
        error=_traceback(exc, _prefix(where, exc)),
        retry=not isinstance(exc, InvalidInput),
        clean=False,
        gpu_full=where == "gpu",
        node=isinstance(exc, _NODE) or _is_accelerators(exc),
    )


def out_of_memory(exc: BaseException) -> Where | None:
    """Tell whose memory ran out, None if that is not what happened."""
    if isinstance(exc, MemoryError):
        return "host"
    said = _said(exc)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(exc, torch.OutOfMemoryError):
        return "gpu"
    if not isinstance(exc, RuntimeError):
        # TensorFlow's error has a class of its own.
        return "gpu" if type(exc).__name__ == "ResourceExhaustedError" else None
    # torch's CPU allocator, CUDA's libraries, and XLA raise plain or derived RuntimeErrors.
    return _whose(said)


def printed_out_of_memory(line: str) -> Where | None:
    """Tell whose memory ran out by the line that names an error, as Python prints it."""
    called, _, said = line.partition(": ")
    name = _CALLED.fullmatch(called)
    if name is None:
        return None
    if name[1] in _OF_HOST:
        return "host"
    return "gpu" if name[1] in _OF_GPU else _whose(said)


def _whose(said: str) -> Where | None:
    if _HOST_FULL in said:
        return "host"
    return "gpu" if any(words in said for words in _GPU_FULL) else None


def _is_accelerators(exc: BaseException) -> bool:
    accelerators = getattr(sys.modules.get("torch"), "AcceleratorError", None)
    if accelerators is not None and isinstance(exc, accelerators):
        return True
    words = ("CUDA error", "CUDA driver", "No CUDA GPUs", "NVIDIA driver", "CUDNN_STATUS")
    return isinstance(exc, RuntimeError) and any(one in _said(exc) for one in words)


def _prefix(where: Where | None, exc: BaseException) -> str:
    if where is None:
        return ""
    if where == "host":
        return "the host's memory ran out: "
    found = _GPU.search(_said(exc))
    return f"the memory of {_gpu(int(found[1])) if found else 'the GPU'} ran out: "


def _gpu(index: int) -> str:
    """Name a GPU as the node does; this process may see only some of them."""
    seen = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    name = seen[index] if index < len(seen) else str(index)
    return name if name.startswith(("GPU", "MIG")) else f"GPU {name}"


def _said(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
        return ""


def _traceback(exc: BaseException, prefix: str) -> str:
    """Return the traceback's end; the error's own lines start with `prefix`."""
    frames = exc.__traceback__.tb_next if exc.__traceback__ is not None else None
    try:
        text = _clean("".join(traceback.format_exception(type(exc), exc, frames)))
        said = _clean("".join(traceback.format_exception_only(exc)))
    except Exception:
        # An exception can be made so that it can't be shown, or memory is short.
        return f"{prefix}{type(exc).__name__}"
    masker = Masker.of(os.environ)
    text, said = masker.mask(text), masker.mask(said)
    before = text.removesuffix(said)
    if before == text:  # an exception group's own line stands at the top
        before = f"{text.rstrip()}\n"
    if len(before) + len(said) > LONGEST_ERROR and len(said) > 2 * _HALF_MESSAGE:
        said = f"{said[:_HALF_MESSAGE]} ... {said[-_HALF_MESSAGE:]}"
    return _cut(before + prefix + said)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_ERROR else "...\n" + text[-(LONGEST_ERROR - 4) :]


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
