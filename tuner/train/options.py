"""Where and how a training runs, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from tuner.errors import Fault, InvalidInput
from tuner.spec.base import Document
from tuner.spec.words import words


class Options(Document):
    """Say where and how a training runs."""

    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")] = "auto"
    """auto (CUDA if there is one), cpu, cuda, or cuda:N."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, or autocast to bf16 or fp16 in forward passes. Weights stay float32."""
    checkpoint_every: Annotated[float, Field(ge=0)] = 10.0
    """Seconds between checkpoints, at the ends of epochs. 0: after each epoch."""
    deterministic: bool = False
    """Whether CUDA may use only kernels that give the same bits each time."""
    measure_layers: bool = True
    """Whether layers are measured after each epoch (`tuner.train.health`)."""

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Self:
        """Check and take options.

        Raises:
            InvalidInput: an unknown name or a value that is not allowed; `faults` has them all.
        """
        try:
            return cls.model_validate(given)
        except ValidationError as problem:
            errors = problem.errors(include_url=False)
            faults = [Fault(where=str(e["loc"][0]), message=words(e)) for e in errors]
            said = "; ".join(f"{fault.where}: {fault.message}" for fault in faults)
            raise InvalidInput(f"the trainer can't take these options: {said}", faults) from problem


KNOWN_OPTIONS = tuple(Options.model_fields)
