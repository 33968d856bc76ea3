"""Initial weights.

Every weight matrix is drawn as `init_scale * std * randn`, where `std` is 1/sqrt(fan_in) (lecun),
sqrt(2/(fan_in + fan_out)) (xavier; Glorot & Bengio 2010) or sqrt(2/fan_in) (he; He et al. 2015).
`small` is `init_scale * 0.02`. Biases are 0, an LSTM's forget-gate bias is 1 (Jozefowicz et al.
2015) unless the recipe says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tuner.train.layers import settle_spectral

SMALL_STD = 0.02
_BY_ACTIVATION: Mapping[str, str] = {
    "relu": "he",
    "leaky_relu": "he",
    "elu": "he",
    "selu": "lecun",
    "tanh": "xavier",
    "sigmoid": "xavier",
    "soft_threshold": "he",
}


def rule_of(rule: str, activation: str, *, recurrent: bool) -> str:
    """Return the rule that `by_activation` means; an LSTM's activations are sigmoid and tanh."""
    if rule != "by_activation":
        return rule
    return "xavier" if recurrent else _BY_ACTIVATION[activation]


@torch.no_grad()
def initialise(
    model: nn.Module,
    rule: str,
    scale: float,
    generator: torch.Generator,
    *,
    forget_bias: float = 1.0,
) -> None:
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
            _open_forget_gates(module, forget_bias)
    settle_spectral(model, generator)


def base_std(rule: str, weight: Tensor, *, gates: int = 1) -> float:
    """Return a rule's standard deviation for a weight of shape [out, in, *kernel].

    `gates` matrices are stacked along the first axis, as in recurrent layers: they share their
    inputs, and each feeds a layer of its own.
    """
    if rule == "small":
        return SMALL_STD
    fan_in = weight[0].numel()
    fan_out = weight.numel() // weight.shape[1] // gates
    if rule == "xavier":
        return math.sqrt(2 / (fan_in + fan_out))
    return math.sqrt((2 if rule == "he" else 1) / fan_in)


def _gates(module: nn.Module) -> int:
    return {nn.LSTM: 4, nn.GRU: 3}.get(type(module), 1)


def _open_forget_gates(lstm: nn.LSTM, value: float) -> None:
    # Gates are stacked as input, forget, cell, output; the second bias of the two stays 0.
    for name, bias in lstm.named_parameters():
        if name.startswith("bias_ih"):
            bias[lstm.hidden_size : 2 * lstm.hidden_size] = value
