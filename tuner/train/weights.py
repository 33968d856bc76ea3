"""All trained weights of a model as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Flat:
    """Lay a model's trained weights, and their gradients, into one vector each.

    The model's parameters become views: what is written to `value` is what the model computes with,
    and `backward` adds to `gradient`. Norm, clip and update then cost the same for any number of
    layers. Build it after the model is on its device; moving the model breaks the views.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.value = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.gradient = torch.zeros_like(self.value)
        sizes = [p.numel() for p in parameters]
        values, gradients = torch.split(self.value, sizes), torch.split(self.gradient, sizes)
        for parameter, value, gradient in zip(parameters, values, gradients, strict=True):
            parameter.data = value.view_as(parameter)
            parameter.grad = gradient.view_as(parameter)
        self._matrices = [p.data for p in parameters if p.ndim >= 2]

    def limit_rows(self, limit: float) -> None:
        """Scale each unit's incoming weights down to the norm `limit` where they are longer.

        The max-norm constraint of Srivastava et al. 2014, section 5.1.
        """
        for matrix in self._matrices:
            matrix.copy_(torch.renorm(matrix, 2, 0, limit))


def clip(gradient: Tensor, limit: float) -> Tensor:
    """Scale a gradient in place so that its norm is at most `limit`; return the norm before, [].

    The formula of `torch.nn.utils.clip_grad_norm_`, whose 1e-6 keeps a gradient of 0 at 0.
    """
    norm: Tensor = torch.linalg.vector_norm(gradient)
    gradient.mul_((limit / (norm + 1e-6)).clamp_(max=1.0))
    return norm
