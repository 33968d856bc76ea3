"""The fast gradient method: train beside each batch on a harder one (Miyato et al. 2017, FGM).

The harder batch lies a step of fixed length up the loss: from each row of the inputs, or, where the
network begins with an embedding, from the embedding's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from tuner.train.models import Staged

_TINY = 1e-12


def harder_rows(x: Tensor, gradient: Tensor, length: float) -> Tensor:
    """Return inputs moved by `length` along each row's own gradient; a gradient of 0 moves none."""
    flat = gradient.flatten(1)
    unit = (flat / (torch.linalg.vector_norm(flat, dim=1, keepdim=True) + _TINY)).view_as(x)
    moved: Tensor = x.detach() + length * unit
    return moved


@contextmanager
def harder_embedding(weight: Tensor, gradient: Tensor, length: float) -> Iterator[None]:
    """Move an embedding's weights by `length` along their gradient; then set them back."""
    own = weight.detach().clone()
    weight.data.add_(gradient / (torch.linalg.vector_norm(gradient) + _TINY), alpha=length)
    try:
        yield
    finally:
        weight.data.copy_(own)


def train_on_both(
    model: Staged, x: Tensor, length: float, backward: Callable[[Tensor], Tensor]
) -> Tensor:
    """Call `backward` on a batch and on the harder one; return what it gave for the plain one.

    `backward` adds half of a batch's gradient, so that both together weigh what one batch does.
    """
    if (embedding := model.embedding) is not None:
        record = backward(x)
        assert embedding.grad is not None
        with harder_embedding(embedding, embedding.grad.clone(), length):
            backward(x)
        return record
    x = x.detach().requires_grad_()
    record = backward(x)
    assert x.grad is not None
    backward(harder_rows(x, x.grad, length))
    return record
