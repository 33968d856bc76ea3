"""The tasks' networks: plain modules of ordinary parts, in stages from the input upward.

Each `forward` takes the rows and `drop`, which it calls where dropout belongs. Probability and
random stream are the caller's, so that no hyperparameter that changes no shape is in a module.
A network is a list of stages, so that the lower ones can be held, run once, or trained by
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train.layers import Layer
from tuner.train.recipe import PLAIN, Network

Drop = Callable[[Tensor], Tensor]
Stage = Callable[[Tensor, Drop], Tensor]


OLD_NAMES = {
    "hidden": "hidden.0.map",
    "conv1": "convs.0.map",
    "conv2": "convs.1.map",
}
"""Modules that had other names in checkpoints of versions before."""


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict, perhaps of a version before, under today's names."""
    found = {}
    for name, tensor in weights.items():
        module, _, parameter = name.rpartition(".")
        found[f"{OLD_NAMES.get(module, module)}.{parameter}"] = tensor
    return found


def keep(hidden: Tensor) -> Tensor:
    """Drop nothing: the `drop` of evaluation."""
    return hidden


class Staged(nn.Module):
    """A network in stages; the last makes the prediction."""

    def layers(self) -> Sequence[nn.Module]:
        """Return the modules with weights of each stage, from the input upward."""
        raise NotImplementedError

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Run one stage."""
        raise NotImplementedError

    @property
    def embedding(self) -> nn.Parameter | None:
        """The weights that turn symbols into numbers, of a network whose inputs are symbols."""
        return None

    def between(self, x: Tensor, first: int, last: int, drop: Drop) -> Tensor:
        """Run the stages from `first` to before `last`."""
        for number in range(first, last):
            x = self.stage(number, x, drop)
        return x

    def forward(self, x: Tensor, drop: Drop, first: int = 0) -> Tensor:
        """Map the rows, or what the stage before `first` made of them, to predictions."""
        return self.between(x, first, len(self.layers()), drop)


class Mlp(Staged):
    """Rows of numbers through hidden layers, each with dropout.

    As the digits' task has it: 64 numbers, one layer of 64 ReLU, 10 classes, 4,810 weights.
    """

    def __init__(self, network: Network = PLAIN, inputs: int = 64, outputs: int = 10) -> None:
        super().__init__()
        width = network.width or 64
        first = Layer(nn.Linear(inputs, width), width, network, skip=False)
        more = [
            Layer(nn.Linear(width, width), width, network, skip=network.skip)
            for _ in range((network.depth or 1) - 1)
        ]
        self.hidden = nn.ModuleList([first, *more])
        self.out = nn.Linear(width, outputs)

    def layers(self) -> Sequence[nn.Module]:
        """Return the hidden layers and the last."""
        return [*self.hidden, self.out]

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, inputs] to [rows, width], in the last stage to [rows, outputs], logits."""
        if number == len(self.hidden):
            return self.out(x)  # type: ignore[no-any-return]
        return drop(self.hidden[number](x))


class Cnn(Staged):
    """Images through convolutions of 3 by 3, the first two with max-pooling; dropout before `out`.

    As the digits' task has it: 8 by 8, 16 and 32 channels, 10 classes, 6,090 weights. The second
    convolution has twice the width, and further ones follow it.
    """

    def __init__(self, network: Network = PLAIN, outputs: int = 10) -> None:
        super().__init__()
        width = network.width or 16
        shapes = [(1, width), (width, 2 * width)]
        shapes += [(2 * width, 2 * width)] * ((network.depth or 2) - 2)
        shapes = shapes[: network.depth]
        self.convs = nn.ModuleList(
            Layer(nn.Conv2d(a, b, 3, padding=1), b, network, skip=network.skip and i > 1)
            for i, (a, b) in enumerate(shapes)
        )
        side = 8 // 2 ** min(2, len(shapes))
        self.out = nn.Linear(shapes[-1][1] * side**2, outputs)

    def layers(self) -> Sequence[nn.Module]:
        """Return the convolutions and the last layer."""
        return [*self.convs, self.out]

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, channels, height, width], in the last stage to [rows, outputs], logits."""
        if number == len(self.convs):
            return self.out(drop(x.flatten(1)))  # type: ignore[no-any-return]
        h = self.convs[number](x)
        return F.max_pool2d(h, 2) if number < 2 else h


class Lstm(Staged):
    """An LSTM over sequences, dropout on its last output, one number predicted.

    As the adding problem has it: pairs (number, marker), 32 units, 4,513 trained weights. torch
    adds two biases to each gate; the second is held at 0, since two trained ones would learn at
    twice the rate.
    """

    def __init__(self, network: Network = PLAIN, inputs: int = 2) -> None:
        super().__init__()
        width = network.width or 32
        self.lstm = nn.LSTM(inputs, width, network.depth or 1, batch_first=True)
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_hh"):
                bias.requires_grad_(False)
        self.norm = nn.LayerNorm(width) if network.norm == "layer" else nn.Identity()
        self.out = nn.Linear(width, 1)

    def layers(self) -> Sequence[nn.Module]:
        """Return the recurrent part and the last layer."""
        return [nn.ModuleList([self.lstm, self.norm]), self.out]

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, T, inputs] to [rows, width], then to [rows], the predicted sums."""
        if number == 1:
            return self.out(drop(x)).squeeze(1)  # type: ignore[no-any-return]
        outputs, _ = self.lstm(x)  # [rows, T, width]
        return self.norm(outputs[:, -1])  # type: ignore[no-any-return]
