"""How many GPUs and processes a trial gets: the keys that the kinds of `run` share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer

from tuner.packing import SMALLEST


def _whole_or_share(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError("a trial gets a share of one GPU, such as 0.25, or whole GPUs")
    if 0 < gpus < SMALLEST:
        raise ValueError(f"the smallest share of a GPU is {SMALLEST:g}")
    return _plain(gpus)


def _plain(gpus: float) -> float:
    return int(gpus) if gpus == int(gpus) else gpus


_SHOWN = PlainSerializer(_plain, return_type=int | float)
Gpus = Annotated[float, Field(ge=0, le=64), AfterValidator(_whole_or_share), _SHOWN]
GpuShare = Annotated[float, Field(ge=0, le=1), AfterValidator(_whole_or_share), _SHOWN]
Processes = Annotated[int, Field(ge=1, le=64)]


def check_processes(gpus: float | None, processes: int | None) -> None:
    """Refuse processes that would share GPUs.

    Raises:
        ValueError: several processes, and GPUs for another number.
    """
    if processes in (None, 1) or gpus in (None, 0, processes):
        return
    raise ValueError(
        f"{processes} processes train on {processes} GPUs, one each, or on the CPU; not on {gpus:g}"
    )
