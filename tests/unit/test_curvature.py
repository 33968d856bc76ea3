"""Lanczos on known spectra; saddles, minima and slopes told apart, and the way out of a saddle."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.torch import examine
from tuner.torch.curvature import Surface, lanczos


def rotated(spectrum: Sequence[float], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return a symmetric matrix with this spectrum, and its eigenvectors as columns."""
    draw = torch.Generator().manual_seed(seed)
    n = len(spectrum)
    basis, _ = torch.linalg.qr(torch.randn(n, n, generator=draw, dtype=torch.float64))
    return basis @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ basis.T, basis


def start(n: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    "spectrum",
    [
        [-2.0, -0.1, 0.5, 1.0, 7.0],
        # a positive definite and a negative definite one
        [0.5, 1.0, 3.0],
        [-3.0, -2.0, -1.0],
        # repeated values, zeros, and all the same
        [-1.0, 0.0, 0.0, 0.0, 5.0, 5.0],
        [2.0, 2.0, 2.0],
        [4.0],
        [float(k) for k in range(-10, 30)],
    ],
)
def test_as_many_steps_as_entries_are_exact(spectrum: list[float]) -> None:
    matrix, _ = rotated(spectrum)
    found = lanczos(lambda v: matrix @ v, start(len(spectrum)), steps=100)
    assert found.lowest == pytest.approx(min(spectrum), abs=1e-9)
    assert found.highest == pytest.approx(max(spectrum), abs=1e-9)
    assert torch.allclose(matrix @ found.vector, min(spectrum) * found.vector, atol=1e-6)
    assert float(found.vector.norm()) == pytest.approx(1.0)


def test_a_few_steps_find_the_ends_of_a_wide_spectrum() -> None:
    inner = torch.linspace(-0.5, 1.0, 298).tolist()
    matrix, basis = rotated([-4.0, *inner, 9.0])
    found = lanczos(lambda v: matrix @ v, start(300), steps=20)
    assert found.lowest == pytest.approx(-4.0, rel=1e-3)
    assert found.highest == pytest.approx(9.0, rel=1e-3)
    assert abs(float(found.vector @ basis[:, 0])) > 0.999


def test_too_few_steps_err_inward() -> None:
    matrix, _ = rotated([float(k) for k in range(-50, 50)])
    for steps in range(1, 12):
        found = lanczos(lambda v: matrix @ v, start(100), steps=steps)
        assert -50 <= found.lowest <= found.highest <= 49


def test_a_start_of_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not zero"):
        lanczos(lambda v: v, torch.zeros(3), steps=3)


def test_the_product_is_the_hessians() -> None:
    matrix, _ = rotated([-1.0, 2.0, 3.0])
    x = nn.Parameter(start(3))
    surface = Surface(lambda: x @ matrix @ x / 2, [x])
    value, gradient = surface.slope()
    assert value == pytest.approx(surface.value())
    assert torch.allclose(gradient, matrix @ x.detach())
    assert torch.allclose(surface.hessian()(start(3)), matrix @ start(3))


def at(x: float, y: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor([x, y], dtype=torch.float64))


def test_a_saddle_and_the_way_out_of_it() -> None:
    """x² - y² + y⁴/4 + 1 has a saddle at 0 and its minima, 0, at y = ±√2."""
    p = at(0.0, 0.0)
    place = examine(lambda: p[0] ** 2 - p[1] ** 2 + p[1] ** 4 / 4 + 1, [p])
    assert place.kind == "saddle"
    assert place.lowest == pytest.approx(-2.0)
    assert place.highest == pytest.approx(2.0)
    assert place.loss == 1.0
    # of the steps tried, 0.01 * 3**k, the one with the lowest loss
    assert place.escape_step == pytest.approx(0.81)
    assert place.escape_loss == pytest.approx(1 - 0.81**2 + 0.81**4 / 4)
    assert torch.equal(p.detach(), torch.zeros(2, dtype=torch.float64))
    assert p.grad is None
    expected = {"hessian_min", "hessian_max", "escape_step", "escape_to", "escape_from"}
    assert set(place.metrics()) == expected


def test_a_minimum() -> None:
    p = at(1.0, -2.0)
    place = examine(lambda: (p[0] - 1) ** 2 + 5 * (p[1] + 2) ** 2 + 3, [p])
    assert (place.kind, place.escape_step) == ("minimum", None)
    assert place.lowest == pytest.approx(2.0)
    assert place.highest == pytest.approx(10.0)


def test_a_slope_is_not_examined_further_unless_asked() -> None:
    p = at(1.0, 1.0)
    place = examine(lambda: p[0] ** 2 - p[1] ** 2 + 1, [p])
    assert (place.kind, place.lowest, place.metrics()) == ("slope", None, {})
    assert place.grad_norm == pytest.approx(math.sqrt(8))
    asked = examine(lambda: p[0] ** 2 - p[1] ** 2 + 1, [p], flat=math.inf)
    assert asked.lowest == pytest.approx(-2.0)


def test_the_zero_start_of_a_network_is_a_saddle() -> None:
    """All weights 0: no gradient for them, but a product of two weights lowers the loss."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    for p in model.parameters():
        nn.init.zeros_(p)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    y = torch.tensor([[1.0], [-1.0]])
    place = examine(lambda: (model(x) - y).square().mean(), model.parameters())
    assert place.kind == "saddle"
    assert place.grad_norm == 0
    assert place.lowest is not None
    # d²/dadb of (ab - 1)² per row: eigenvalues ±√2 for the direction (1, -1)/√2 of the inputs
    assert place.lowest == pytest.approx(-math.sqrt(2), rel=1e-4)
    assert place.escape_loss is not None
    assert place.escape_loss < place.loss


def test_parameters_without_a_gradient_and_a_broken_loss_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no parameter"):
        examine(lambda: torch.ones(()), [torch.ones(2)])
    p = at(0.0, 0.0)
    with pytest.raises(InvalidInput, match="the loss is"):
        examine(lambda: p.sum() / 0, [p])
