"""Initial weights.

Every weight matrix is drawn as `init_scale * std * randn`, where `std` is 1/sqrt(fan_in) (lecun),
sqrt(2/(fan_in + fan_out)) (xavier; Glorot & Bengio 2010) or sqrt(2/fan_in) (he; He et al. 2015).
Biases are 0, an LSTM's forget-gate bias is 1 (Jozefowicz et al. 2015).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def initialise(model: nn.Module, rule: str, scale: float, generator: torch.Generator) -> None:
    """Draw all weights of a model on the CPU, in the order of its parameters.

    Parameters of one dimension that are no biases (a normalisation's gain) stay as they are.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name.startswith("bias"):
                parameter.zero_()
            elif parameter.ndim >= 2:
                gates = _gates(module)
                std = scale * base_std(rule, parameter, gates=gates)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)
        if isinstance(module, nn.LSTM):
            _open_forget_gates(module)


def base_std(rule: str, weight: Tensor, *, gates: int = 1) -> float:
    """Return a rule's standard deviation for a weight of shape [out, in, *kernel].

    `gates` matrices are stacked along the first axis, as in recurrent layers: they share their
    inputs, and each feeds a layer of its own.
    """
    fan_in = weight[0].numel()
    fan_out = weight.numel() // weight.shape[1] // gates
    if rule == "xavier":
        return math.sqrt(2 / (fan_in + fan_out))
    return math.sqrt((2 if rule == "he" else 1) / fan_in)


def _gates(module: nn.Module) -> int:
    return {nn.LSTM: 4, nn.GRU: 3}.get(type(module), 1)


def _open_forget_gates(lstm: nn.LSTM) -> None:
    # Gates are stacked as input, forget, cell, output; the second bias of the two stays 0.
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_ih"):
            bias[lstm.hidden_size : 2 * lstm.hidden_size] = 1.0
