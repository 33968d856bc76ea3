"""What a training loop can measure of its model at little cost: layer by layer, a sample at a time.

Inside: `LayerProbe`, hooks that measure activations while they are switched on; `Watch`, which a
loop of one's own creates once and asks for metrics at each report.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuner.errors import InvalidInput

MOST_LAYERS = 12
"""Layers that are told of at most, evenly spaced from the first to the last."""
_RELUS = (nn.ReLU, nn.ReLU6)
_PARAMETRIZED = ".parametrizations"
_ODD = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 80  # characters, so that the metric's name is one that a report may have


def layers_of(model: nn.Module, most: int = MOST_LAYERS) -> dict[str, list[nn.Parameter]]:
    """Return the trained parameters of the layers with a weight matrix, in the model's order."""
    found: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found.setdefault(_layer(name), []).append(parameter)
    matrices = {k: ps for k, ps in found.items() if any(p.ndim >= 2 for p in ps)}
    return {name: matrices[name] for name in _spaced(list(matrices), most)}


def metric(layer: str, what: str) -> str:
    """Return the name under which a layer's measure is reported, whatever its module is called."""
    return f"layer/{_ODD.sub('_', layer)[-_LONGEST:]}/{what}"


def _layer(parameter: str) -> str:
    owner = parameter.rpartition(".")[0]
    return owner.partition(_PARAMETRIZED)[0] or "model"


def _spaced(names: Sequence[str], most: int) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[round(i * (len(names) - 1) / (most - 1))] for i in range(most)]


class LayerProbe:
    """Measure activations while `on`: each layer's variance, and its ReLUs that answer to no row.

    A unit is a column of an output [rows, units], a channel of one [rows, channels, ...], one of
    the last dimension in [rows, steps, units] of anything but a convolution's. ReLUs are seen that
    are modules.
    """

    def __init__(self, model: nn.Module, most: int = MOST_LAYERS) -> None:
        self._model = model
        self._matrices = list(layers_of(model, most))
        modules = dict(model.named_modules())
        relus = [name for name, module in modules.items() if isinstance(module, _RELUS)]
        self._relus = _spaced(relus, most)
        self._variances: dict[str, list[Tensor]] = {}
        self._answered: dict[str, Tensor] = {}
        self._modules = modules

    @contextmanager
    def on(self) -> Iterator[None]:
        """Measure the forward passes inside."""
        handles = [
            self._modules["" if name == "model" else name].register_forward_hook(self._vary(name))
            for name in self._matrices
        ]
        handles += [self._modules[n].register_forward_hook(self._answer(n)) for n in self._relus]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def read(self) -> dict[str, Tensor]:
        """Return what was measured since the last time as metrics, [] each, on the device."""
        found = {metric(n, "var"): torch.stack(v).mean() for n, v in self._variances.items()}
        for name, answered in self._answered.items():
            found[metric(name, "dead")] = 1 - answered.float().mean()
        self._variances, self._answered = {}, {}
        return found

    def _vary(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and tensor.numel() > 1:
                self._variances.setdefault(name, []).append(tensor.detach().float().var())

        return hook

    def _answer(self, name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            units = 1 if output.ndim in (2, 4, 5) else output.ndim - 1
            others = [d for d in range(output.ndim) if d != units]
            answers = (output.detach() > 0).sum(dim=others) > 0 if others else output.detach() > 0
            before = self._answered.get(name)
            self._answered[name] = answers if before is None else before | answers

        return hook


def ratios(
    names: Sequence[str],
    gradients: Sequence[Sequence[Tensor]],
    changes: Sequence[Sequence[Tensor]],
    weights: Sequence[Sequence[Tensor]],
) -> dict[str, Tensor]:
    """Return each layer's gradient norm and update ratio as metrics, [] each, on the device."""
    found: dict[str, Tensor] = {}
    for name, gradient, change, weight in zip(names, gradients, changes, weights, strict=True):
        found[metric(name, "grad")] = norm_of(gradient)
        found[metric(name, "update")] = norm_of(change) / norm_of(weight).clamp_min(1e-12)
    return found


def norm_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the norm of tensors taken together, []."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack([t.float().norm() for t in tensors]))
    return norm


class Watch:
    """Measure a model in training, for reports of which the server makes findings.

    Every `every`-th optimizer step is measured, its gradients, its change of the weights, and the
    activations of the forward passes before it: `grad_norm`, `update_ratio`, and for each layer
    `layer/NAME/grad`, `update`, `var` and `dead`. A measured step costs about as much as two, the
    others nothing. Create it once, when model and optimizer stand; report `watch.metrics()`.
    Gradients are seen as the optimizer sees them, after a clip.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, *, every: int = 50, most: int = MOST_LAYERS
    ) -> None:
        """Lay hooks on the model and on the optimizer's steps.

        Raises:
            InvalidInput: no parameter of the model is trained, or `every` is no number from 1.
        """
        self._layers = layers_of(model, most)
        self._all = [p for p in model.parameters() if p.requires_grad]
        if not self._all or every < 1:
            raise InvalidInput("a watch is of a model that is trained, every so many steps")
        self._model, self._every = model, every
        self._probe = LayerProbe(model, most)
        self._left = 0
        self._before: dict[int, Tensor] | None = None
        self._measured: list[dict[str, Tensor]] = []
        self._open: Any = None
        self._handles = [
            model.register_forward_pre_hook(lambda *_: self._look()),
            model.register_forward_hook(lambda *_: self._leave(), always_call=True),
            optimizer.register_step_pre_hook(lambda *_: self._start()),
            optimizer.register_step_post_hook(lambda *_: self._end()),
        ]

    def metrics(self) -> dict[str, float]:
        """Return the means of what was measured since the last time, and measure the next step."""
        measured, self._measured, self._left = self._measured, [], 0
        if not measured:
            return {}
        names = list(measured[-1])
        table = torch.stack([torch.stack([m[n].cpu() for n in names]) for m in measured])
        return dict(zip(names, table.mean(0).tolist(), strict=True)) | self._activations()

    def detach(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _activations(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._probe.read().items()}

    def _look(self) -> None:
        self._leave()
        if self._left == 0 and self._model.training:
            self._open = self._probe.on()
            self._open.__enter__()

    def _leave(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def _start(self) -> None:
        self._before = None
        if self._left == 0:
            self._before = {id(p): p.detach().clone() for p in self._all}

    def _end(self) -> None:
        before, self._before = self._before, None
        self._left = self._every - 1 if self._left == 0 else self._left - 1
        if before is None:
            return
        with torch.no_grad():
            self._measured.append(self._measure(before))

    def _measure(self, before: Mapping[int, Tensor]) -> dict[str, Tensor]:
        def grads(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
            return [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]

        def old(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
            return [before[id(p)] for p in parameters]

        def changes(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
            return [p.detach() - before[id(p)] for p in parameters]

        weights = norm_of(old(self._all)).clamp_min(1e-12)
        groups = list(self._layers.values())
        return {
            "grad_norm": norm_of(grads(self._all)),
            "update_ratio": norm_of(changes(self._all)) / weights,
        } | ratios(
            list(self._layers),
            [grads(g) for g in groups],
            [changes(g) for g in groups],
            [old(g) for g in groups],
        )
