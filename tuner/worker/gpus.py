"""The GPUs of a worker, and what a trial sees of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tuner.errors import InvalidInput
from tuner.packing import Spot

ALL = ("all",)
NONE = ("none",)
_IDENT = re.compile(r"\d{1,4}|(GPU|MIG)-[0-9A-Za-z/-]+")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A device as CUDA_VISIBLE_DEVICES names it, and what it is called."""

    ident: str
    name: str


def resolve(asked: Sequence[str]) -> tuple[Gpu, ...]:
    """Return the GPUs a worker shares out; the driver is asked only for `("all",)`.

    Raises:
        InvalidInput: one is neither a number nor a UUID, or the driver was asked and there is none.
    """
    if tuple(asked) == NONE:
        return ()
    if tuple(asked) == ALL:
        return discover()
    wrong = next((ident for ident in asked if not _IDENT.fullmatch(ident)), None)
    if wrong is not None:
        raise InvalidInput(f"--gpus: {wrong!r} is no GPU; give numbers or UUIDs, `all` or `none`")
    return tuple(Gpu(ident=ident, name=f"gpu {ident}") for ident in asked)


def discover() -> tuple[Gpu, ...]:
    """Return all GPUs of this node by NVIDIA's management library, without touching CUDA.

    Raises:
        InvalidInput: there is no such library or no driver.
    """
    try:
        import pynvml
    except ImportError as exc:
        raise InvalidInput("--gpus all needs nvidia-ml-py: install tuner[torch]") from exc
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        raise InvalidInput(f"--gpus all found no NVIDIA driver: {exc}") from exc
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        return tuple(
            Gpu(ident=pynvml.nvmlDeviceGetUUID(one), name=pynvml.nvmlDeviceGetName(one))
            for one in handles
        )
    finally:
        pynvml.nvmlShutdown()


def visible(asked: Sequence[str], gpus: Sequence[Gpu], spot: Spot) -> str | None:
    """Return CUDA_VISIBLE_DEVICES of a trial at `spot`, None to leave it as it is.

    It is left where the worker names no GPUs, and the trial neither.
    """
    if not asked and spot.home is not None:
        return None
    return ",".join(gpus[index].ident for index in spot.gpus)
