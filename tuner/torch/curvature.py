"""Where a loss rests: saddle, minimum or slope, by Lanczos on Hessian-vector products.

Inside: `lanczos` on any symmetric map, `Surface` for a loss as a function of its parameters, and
`examine`, which puts them together and tries the way out of a saddle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from tuner.errors import InvalidInput

Product = Callable[[Tensor], Tensor]
NEGATIVE = 0.01
"""A lowest eigenvalue below minus this part of the largest one's size makes a saddle."""
FLAT = 1e-2
"""Near zero is a gradient along which weights that change by all their size gain less than this
part of the loss: `|gradient| * |weights| < FLAT * |loss|`."""
SHORTEST, MOST_LENGTHS = 0.01, 8
"""The first step out of a saddle, as a part of the weights' norm; tripled while that gains."""


class Spectrum(NamedTuple):
    """The extreme eigenvalues of a symmetric map; `vector`, [size], of norm 1, is the lowest's."""

    lowest: float
    highest: float
    vector: Tensor


def lanczos(product: Product, start: Tensor, steps: int = 20) -> Spectrum:
    """Return the extreme eigenvalues that `steps` products with a symmetric map find.

    Each new direction is made orthogonal to all before it (twice, against rounding), so that as
    many steps as `start` has entries are exact. The extreme values come first, from inside the
    spectrum: the lowest found is never below the lowest there is (Golub and Van Loan 2013,
    section 10.1).

    Args:
        product: maps a vector [size] to one of the same shape.
        start: the first direction, [size]; random, since what it is orthogonal to is never found.
        steps: products at most; fewer if all directions are spanned before.

    Raises:
        InvalidInput: the start is zero or not finite, or no steps are asked for.
    """
    norm = torch.linalg.vector_norm(start)
    if steps < 1 or not bool(norm.isfinite()) or norm == 0:
        raise InvalidInput("lanczos starts from a vector that is not zero, and takes a step")
    vector, before = start / norm, torch.zeros_like(start)
    basis, diagonal, beside = [vector], list[Tensor](), list[Tensor]()
    beta = torch.zeros((), dtype=start.dtype, device=start.device)
    for _ in range(min(steps, start.numel())):
        mapped = product(vector)
        alpha = mapped @ vector
        diagonal.append(alpha)
        rest = mapped - alpha * vector - beta * before
        spanned = torch.stack(basis)
        for _ in range(2):
            rest = rest - spanned.T @ (spanned @ rest)
        beta = torch.linalg.vector_norm(rest)
        if beta <= 1e-6 * torch.linalg.vector_norm(mapped) or len(diagonal) == start.numel():
            break
        before, vector = vector, rest / beta
        basis.append(vector)
        beside.append(beta)
    n = len(diagonal)
    return _extremes(torch.stack(basis[:n]), torch.stack(diagonal), beside[: n - 1])


def _extremes(basis: Tensor, diagonal: Tensor, beside: Sequence[Tensor]) -> Spectrum:
    small = torch.diag(diagonal)
    if beside:
        off = torch.diag(torch.stack(tuple(beside)), 1)
        small = small + off + off.T
    values, vectors = torch.linalg.eigh(small.double().cpu())
    lowest = vectors[:, 0].to(basis)
    vector = basis.T @ lowest
    norm = torch.linalg.vector_norm(vector)
    return Spectrum(float(values[0]), float(values[-1]), vector / norm)


class Surface:
    """A loss as a function of its parameters as one vector."""

    def __init__(self, loss: Callable[[], Tensor], parameters: Iterable[Tensor]) -> None:
        """Take a loss, [], that is the same each time, and the parameters to look along.

        Raises:
            InvalidInput: no parameter wants a gradient.
        """
        self._loss = loss
        self._parameters = [p for p in parameters if p.requires_grad]
        if not self._parameters:
            raise InvalidInput("no parameter wants a gradient")

    @property
    def point(self) -> Tensor:
        """The parameters, [size], copied."""
        return torch.cat([p.detach().reshape(-1) for p in self._parameters]).clone()

    def value(self) -> float:
        """Return the loss here."""
        with torch.no_grad():
            return float(self._loss())

    def slope(self) -> tuple[float, Tensor]:
        """Return the loss here and its gradient, [size]."""
        with torch.enable_grad():
            loss = self._loss()
            found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        return float(loss.detach()), self._flat(found)

    def hessian(self) -> Product:
        """Return the Hessian as a product with a vector."""
        # cuDNN's recurrent layers have no second derivative.
        with torch.backends.cudnn.flags(enabled=False), torch.enable_grad():
            found = torch.autograd.grad(
                self._loss(), self._parameters, create_graph=True, allow_unused=True
            )
        gradient = self._flat(found)

        def product(vector: Tensor) -> Tensor:
            if not gradient.requires_grad:  # linear
                return torch.zeros_like(vector)
            mapped = torch.autograd.grad(
                gradient @ vector, self._parameters, retain_graph=True, allow_unused=True
            )
            return self._flat(mapped).detach()

        return product

    def along(self, direction: Tensor, length: float) -> float:
        """Return the loss a step away; the parameters are back where they were, to the last bit."""
        before = [p.detach().clone() for p in self._parameters]
        parts = torch.split(direction, [p.numel() for p in self._parameters])
        try:
            with torch.no_grad():
                for parameter, part in zip(self._parameters, parts, strict=True):
                    parameter.add_(part.view_as(parameter), alpha=length)
            return self.value()
        finally:
            with torch.no_grad():
                for parameter, kept in zip(self._parameters, before, strict=True):
                    parameter.copy_(kept)

    def _flat(self, found: Sequence[Tensor | None]) -> Tensor:
        return torch.cat(
            [
                torch.zeros_like(p).reshape(-1) if g is None else g.reshape(-1)
                for p, g in zip(self._parameters, found, strict=True)
            ]
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a loss looks like around its parameters.

    Args:
        kind: `slope` where the gradient is not near zero, and nothing else was measured; `saddle`
            or `minimum` by the lowest eigenvalue.
        lowest, highest: eigenvalues of the Hessian, None on a slope.
        escape_step, escape_loss: of a saddle: the step along the lowest one's eigenvector, of those
            tried, with the lowest loss, and that loss; None if no step lowers it.
    """

    kind: Literal["slope", "saddle", "minimum"]
    loss: float
    grad_norm: float
    lowest: float | None = None
    highest: float | None = None
    escape_step: float | None = None
    escape_loss: float | None = None

    def metrics(self) -> dict[str, float]:
        """Return it as metrics of a report, of which the server makes a finding."""
        found = {
            "hessian_min": self.lowest,
            "hessian_max": self.highest,
            "escape_step": self.escape_step,
            "escape_to": self.escape_loss,
            "escape_from": None if self.escape_loss is None else self.loss,
        }
        return {name: value for name, value in found.items() if value is not None}


def examine(
    loss: Callable[[], Tensor],
    parameters: Iterable[Tensor],
    *,
    steps: int = 20,
    seed: int = 0,
    flat: float = FLAT,
) -> Place:
    """Say whether a loss rests at a saddle or in a minimum, and try the way out.

    It costs a gradient, and where that is near zero about `2 * steps` more. Parameters and their
    `.grad` stay as they are.

    Args:
        loss: computes the loss, [], of some rows; the same each time: no dropout.
        parameters: the model's.
        steps: Hessian-vector products at most.
        seed: of the first direction.
        flat: how near zero: see `FLAT`; infinity looks at the curvature wherever it is.

    Raises:
        InvalidInput: no parameter wants a gradient, or the loss is not finite.
    """
    surface = Surface(loss, parameters)
    here, gradient = surface.slope()
    norm = float(torch.linalg.vector_norm(gradient))
    point = surface.point
    size = float(torch.linalg.vector_norm(point))
    if not (abs(here) < float("inf") and norm < float("inf")):
        raise InvalidInput(f"the loss is {here}, its gradient's norm {norm}")
    if norm * max(size, 1e-3) > flat * max(abs(here), 1e-12):
        return Place(kind="slope", loss=here, grad_norm=norm)
    draw = torch.Generator().manual_seed(seed)
    start = torch.randn(point.numel(), generator=draw).to(point)
    found = lanczos(surface.hessian(), start, steps)
    saddle = found.lowest < -NEGATIVE * abs(found.highest)
    place = Place(
        kind="saddle" if saddle else "minimum", loss=here, grad_norm=norm,
        lowest=found.lowest, highest=found.highest,
    )  # fmt: skip
    return _escaped(place, surface, found.vector, size or 1.0) if saddle else place


def _escaped(place: Place, surface: Surface, vector: Tensor, size: float) -> Place:
    losses: dict[float, float] = {}
    best, length = 0.0, SHORTEST * size
    for _ in range(MOST_LENGTHS):
        for step in (length, -length):
            losses[step] = surface.along(vector, step)
        last, best = best, min(losses, key=lambda step: losses[step])
        if best == last and best:
            break
        length *= 3
    if not losses[best] < place.loss:
        return place
    return Place(
        kind=place.kind, loss=place.loss, grad_norm=place.grad_norm, lowest=place.lowest,
        highest=place.highest, escape_step=abs(best), escape_loss=losses[best],
    )  # fmt: skip
