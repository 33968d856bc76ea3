"""The tasks' networks: plain modules of ordinary parts.

Each `forward` takes the rows and `drop`, which it calls where dropout belongs. Probability and
random stream are the caller's, so that no hyperparameter is part of a module.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

Drop = Callable[[Tensor], Tensor]


def keep(hidden: Tensor) -> Tensor:
    """Drop nothing: the `drop` of evaluation."""
    return hidden


class Mlp(nn.Module):
    """Digits as 64 numbers, one hidden layer of 64 ReLU with dropout: 4,810 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, 64] to [rows, 10], logits."""
        return self.out(drop(F.relu(self.hidden(x))))  # type: ignore[no-any-return]


class Cnn(nn.Module):
    """Digits as images, two convolutions of 3 by 3 with max-pooling, dropout before the last layer.

    6,090 weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.out = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, 1, 8, 8] to [rows, 10], logits."""
        h = F.max_pool2d(F.relu(self.conv1(x)), 2)  # [rows, 16, 4, 4]
        h = F.max_pool2d(F.relu(self.conv2(h)), 2)  # [rows, 32, 2, 2]
        return self.out(drop(h.flatten(1)))  # type: ignore[no-any-return]


class Lstm(nn.Module):
    """An LSTM of 32 units over pairs (number, marker), dropout on its last output.

    4,513 trained weights. torch adds two biases to each gate; the second is held at 0, since two
    trained ones would learn at twice the rate.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 32, batch_first=True)
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.out = nn.Linear(32, 1)

    def forward(self, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, T, 2] to [rows], the predicted sums."""
        outputs, _ = self.lstm(x)  # [rows, T, 32]
        return self.out(drop(outputs[:, -1])).squeeze(1)  # type: ignore[no-any-return]
