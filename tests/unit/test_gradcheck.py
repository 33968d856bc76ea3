"""The gradient check finds what is wrong, says where and by how much, and passes what is right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tuner.errors import InvalidInput
from tuner.torch import gradcheck


class Square(torch.autograd.Function):
    """x², with a backward that is `factor` times what it should be."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        found: Tensor = grads[0] * 2 * x * Square.factor
        return found


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        square: Any = Square.apply
        return self.second(square(self.first(x)))  # type: ignore[no-any-return]


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def test_a_wrong_backward_is_named_with_its_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Square, "factor", 1.5)
    found = {c.name: c for c in gradcheck(Own(), inputs(5, 3))}
    # what stands below the square is wrong, what stands above it is right
    assert {name for name, c in found.items() if not c.right} == {
        "first.weight", "first.bias", "input 0",
    }  # fmt: skip
    worst = found["first.weight"]
    assert worst.wrong == worst.checked == 12
    assert worst.analytic == pytest.approx(1.5 * worst.numeric, rel=1e-4)
    assert worst.text.endswith(", 1.5 times as much")
    assert found["second.weight"].text == "8 of 8 entries agree"


def test_an_error_of_a_hundredth_is_found_and_of_a_millionth_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Square, "factor", 1.01)
    assert not all(c.right for c in gradcheck(Own(), inputs(5, 3)))
    monkeypatch.setattr(Square, "factor", 1.000001)
    assert all(c.right for c in gradcheck(Own(), inputs(5, 3)))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), (6, 4)),
        (nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ELU()), (4, 1, 6, 6)),
        (nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)), (6, 4)),
        (nn.LSTM(3, 4, batch_first=True), (2, 5, 3)),
        (nn.LayerNorm(6), (3, 6)),
    ],
)
def test_torchs_own_modules_are_right(module: nn.Module, shape: tuple[int, ...]) -> None:
    before = {name: p.clone() for name, p in module.state_dict().items()}
    found = gradcheck(module, inputs(*shape))
    assert [c.text for c in found if not c.right] == []
    assert all(torch.equal(before[name], p) for name, p in module.state_dict().items())
    assert next(module.parameters()).dtype == torch.float32


def test_a_gradient_cut_off_is_missing() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.cut = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.used + self.cut.detach()

    found = {c.name: c for c in gradcheck(Cut(), inputs(3, 2))}
    assert found["used"].right
    assert found["cut"].missing
    assert "no gradient from backward, " in found["cut"].text


def test_a_kink_is_right_from_either_side() -> None:
    assert all(c.right for c in gradcheck(nn.ReLU(), torch.zeros(3)))
    steep: Any = Square.apply
    assert all(c.right for c in gradcheck(lambda x: steep(x).abs(), torch.tensor([0.0, 2.0])))


def test_whole_numbers_are_passed_on_and_not_checked() -> None:
    found = gradcheck(nn.Embedding(10, 3), torch.tensor([[1, 2], [3, 1]]))
    assert [c.name for c in found] == ["weight"]
    assert found[0].right


def test_no_more_entries_than_asked() -> None:
    (weight, bias, x) = gradcheck(nn.Linear(50, 2), inputs(2, 50), entries=10)
    assert (weight.size, weight.checked, bias.checked, x.checked) == (100, 10, 2, 10)


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(InvalidInput, match="nothing to check"):
        gradcheck(nn.Identity(), torch.tensor([1]))
    with pytest.raises(InvalidInput, match="no tensor"):
        gradcheck(lambda x: None, inputs(2))
    state = [0.0]

    def growing(x: Tensor) -> Tensor:
        state[0] += 1
        return x * state[0]

    with pytest.raises(InvalidInput, match="not the same each time"):
        gradcheck(growing, inputs(2))
