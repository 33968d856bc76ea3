"""The gradient of a module of one's own, checked against numerical differences.

In float64, by central differences of a random projection of the outputs, one entry at a time, of
each parameter and each input by itself: so that it can be said which one is wrong, and by how much.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput

STEP = 1e-6
RELATIVE = 1e-3
ABSOLUTE = 1e-5
"""As `torch.autograd.gradcheck` has them."""
_KINK = 1e-2


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found of one parameter or input.

    Args:
        name: the parameter's, or `input 0`.
        checked: how many entries were compared, of `size`.
        wrong: how many of them are off.
        entry: of the worst one: its index, what backward gives, and what differences give.
        missing: whether backward gives no gradient at all, though the output depends on it.
    """

    name: str
    size: int
    checked: int
    wrong: int = 0
    entry: tuple[int, ...] = ()
    analytic: float = 0.0
    numeric: float = 0.0
    missing: bool = False

    @property
    def right(self) -> bool:
        """Whether all entries agree."""
        return self.wrong == 0

    @property
    def text(self) -> str:
        """What was found, in words."""
        if self.right:
            return f"{self.checked} of {self.size} entries agree"
        part = f"wrong in {self.wrong} of {self.checked} entries"
        at = f"[{', '.join(map(str, self.entry))}]"
        if self.missing:
            return f"{part}: no gradient from backward, {self.numeric:.6g} by differences at {at}"
        text = f"{part}: at {at} backward gives {self.analytic:.6g}, differences {self.numeric:.6g}"
        if abs(self.numeric) > ABSOLUTE and self.analytic != 0:
            text += f", {self.analytic / self.numeric:.4g} times as much"
        return text


def gradcheck(
    module: Callable[..., Any],
    *inputs: Tensor,
    entries: int = 50,
    seed: int = 0,
    step: float = STEP,
) -> tuple[Checked, ...]:
    """Compare the gradients of a module's backward with differences of its forward.

    A copy of the module is used, in float64 and in the mode it is in; the same random numbers are
    drawn in each pass, so that dropout is no matter. Entries where the forward has a kink within
    the step (a ReLU at 0) are right if backward gives a slope from one of its sides.

    Args:
        module: a module, or a function such as `MyFunction.apply`.
        inputs: its arguments; those in floating point are checked, too.
        entries: how many of each tensor are compared at most, drawn at random.
        seed: of the projection, of the entries, and of the module's own random numbers.
        step: of the differences; relative for entries above 1.

    Raises:
        InvalidInput: the module returns no tensor in floating point, has nothing to check, or is
            not the same each time.
    """
    if isinstance(module, nn.Module):
        module = copy.deepcopy(module).double()
    given = [_double(x) for x in inputs]
    places: dict[str, Tensor] = {
        name: p
        for name, p in (module.named_parameters() if isinstance(module, nn.Module) else ())
        if p.requires_grad
    }
    places |= {f"input {i}": x for i, x in enumerate(given) if x.is_floating_point()}
    if not places:
        raise InvalidInput("there is nothing to check: no parameter, and no input in floats")
    probe = _Probe(module, given, seed)
    analytic = probe.backward(places)
    draw = torch.Generator().manual_seed(seed)
    return tuple(
        _check(probe, name, place, analytic[name], (draw, entries, step))
        for name, place in places.items()
    )


class _Probe:
    """A random projection of the outputs, as one number."""

    def __init__(self, module: Callable[..., Any], inputs: Sequence[Tensor], seed: int) -> None:
        self._module, self._inputs, self._seed = module, inputs, seed
        self._weights: list[Tensor] = []
        first, again = self.value(), self.value()
        if first != again and not (math.isnan(first) and math.isnan(again)):
            raise InvalidInput(f"the module is not the same each time: {first!r}, then {again!r}")
        if not math.isfinite(first):
            raise InvalidInput("the module's outputs are not finite for these inputs")

    def __call__(self) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            outputs = _tensors(self._module(*self._inputs))
        if not outputs:
            raise InvalidInput("the module returns no tensor in floating point")
        if not self._weights:
            draw = torch.Generator().manual_seed(self._seed)
            self._weights = [
                torch.randn(y.shape, generator=draw, dtype=torch.float64).to(y.device)
                for y in outputs
            ]
        parts = [(y.double() * w).sum() for y, w in zip(outputs, self._weights, strict=True)]
        return torch.stack(parts).sum()

    def value(self) -> float:
        with torch.no_grad():
            return float(self())

    def backward(self, places: Mapping[str, Tensor]) -> dict[str, Tensor | None]:
        total = self()
        if not total.requires_grad:
            return dict.fromkeys(places)
        found = torch.autograd.grad(total, list(places.values()), allow_unused=True)
        return dict(zip(places, found, strict=True))


def _check(
    probe: _Probe,
    name: str,
    place: Tensor,
    analytic: Tensor | None,
    how: tuple[torch.Generator, int, float],
) -> Checked:
    draw, entries, step = how
    size = place.numel()
    chosen = torch.randperm(size, generator=draw)[:entries].sort().values.tolist()
    flat = place.detach().view(-1)
    grads = torch.zeros_like(flat) if analytic is None else analytic.detach().reshape(-1)
    wrong, worst, shown = 0, -1.0, (0, 0.0, 0.0)
    for index in chosen:
        found = float(grads[index])
        numeric, right = _compare(probe, flat, index, found, step)
        if right:
            continue
        wrong += 1
        off = abs(found - numeric) if math.isfinite(found) else math.inf
        if off > worst:
            worst, shown = off, (index, found, numeric)
    entry = tuple(int(i) for i in torch.unravel_index(torch.tensor(shown[0]), place.shape))
    return Checked(
        name=name, size=size, checked=len(chosen), wrong=wrong, entry=entry,
        analytic=shown[1], numeric=shown[2], missing=analytic is None and wrong > 0,
    )  # fmt: skip


def _compare(
    probe: _Probe, flat: Tensor, index: int, analytic: float, step: float
) -> tuple[float, bool]:
    """Return the slope by central differences, and whether backward's agrees with it."""
    before = float(flat[index])
    width = step * max(1.0, abs(before))
    here = probe.value()
    flat[index] = before + width
    above = probe.value()
    flat[index] = before - width
    below = probe.value()
    flat[index] = before
    numeric = (above - below) / (2 * width)
    if abs(analytic - numeric) <= ABSOLUTE + RELATIVE * abs(numeric):
        return numeric, True
    right, left = (above - here) / width, (here - below) / width
    kink = abs(right - left) > _KINK * max(abs(right), abs(left))
    low, high = min(left, right), max(left, right)
    slack = ABSOLUTE + RELATIVE * max(abs(low), abs(high))
    return numeric, kink and low - slack <= analytic <= high + slack


def _double(x: Tensor) -> Tensor:
    if not x.is_floating_point():
        return x
    return x.detach().double().clone().contiguous().requires_grad_()


def _tensors(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, Sequence) and not isinstance(output, str):
        return [tensor for part in output for tensor in _tensors(part)]
    return []
