"""A text to be learned character by character, and the LSTM that does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from tuner.train.data import Data, Split
from tuner.train.losses import nats
from tuner.train.models import Drop, Staged
from tuner.train.recipe import PLAIN, Network

LENGTH = 32
STRIDE = 16
_SHARES = (0.8, 0.9)  # where validation and test begin


@cache
def text() -> str:
    """Return the text: the first pages of Alice's Adventures in Wonderland (1865)."""
    file = resources.files("tuner.train") / "text" / "alice.txt"
    return " ".join(file.read_text(encoding="utf-8").split())


@cache
def alphabet() -> str:
    """Return the characters that occur, in order; a character's number is its place."""
    return "".join(sorted(set(text())))


@cache
def characters() -> Data:
    """Return windows of the text: x [rows, 32, characters] one-hot, y [rows, 32] the next ones.

    The first 80 % of the text are for training, the next 10 % for validation, the rest for test; no
    window reaches from one into another. Windows begin every 16 characters.
    """
    places = {character: number for number, character in enumerate(alphabet())}
    numbers = torch.tensor([places[character] for character in text()])
    first, second = (int(share * len(numbers)) for share in _SHARES)
    train, val, test = (
        _windows(part) for part in (numbers[:first], numbers[first:second], numbers[second:])
    )
    return Data(train=train, val=val, test=test)


def _windows(numbers: Tensor) -> Split:
    rows = numbers.unfold(0, LENGTH + 1, STRIDE)  # [rows, 33]
    x = F.one_hot(rows[:, :-1], len(alphabet())).float()
    return Split(x=x, y=rows[:, 1:].contiguous())


def cross_entropy(logits: Tensor, numbers: Tensor) -> Tensor:
    """Return each row's mean cross-entropy in nats a character, [rows]."""
    return nats(logits, numbers).mean(1)


def right(logits: Tensor, numbers: Tensor) -> Tensor:
    """Return the share of each row's characters that were the likeliest, [rows]."""
    return (logits.argmax(1) == numbers).float().mean(1)


class CharacterLstm(Staged):
    """An LSTM that predicts each next character from those before it in the row.

    As the task has it: 64 units; dropout on its outputs. The one-hot inputs make the LSTM's input
    matrix the embedding. Of torch's two biases a gate, the second is held at 0.
    """

    def __init__(self, network: Network = PLAIN) -> None:
        super().__init__()
        count, width = len(alphabet()), network.width or 64
        self.lstm = nn.LSTM(count, width, network.depth or 1, batch_first=True)
        for name, bias in self.lstm.named_parameters():
            if name.startswith("bias_hh"):
                bias.requires_grad_(False)
        self.norm = nn.LayerNorm(width) if network.norm == "layer" else nn.Identity()
        self.out = nn.Linear(width, count)

    @property
    def embedding(self) -> nn.Parameter:
        """The LSTM's input matrix, of which a one-hot character picks a column."""
        return self.lstm.get_parameter("weight_ih_l0")

    def layers(self) -> Sequence[nn.Module]:
        """Return the recurrent part and the last layer."""
        return [nn.ModuleList([self.lstm, self.norm]), self.out]

    def stage(self, number: int, x: Tensor, drop: Drop) -> Tensor:
        """Map [rows, T, characters] to [rows, T, width], then to [rows, characters, T], logits."""
        if number == 1:
            logits: Tensor = self.out(drop(x))
            return logits.transpose(1, 2)
        outputs, _ = self.lstm(x)
        return self.norm(outputs)  # type: ignore[no-any-return]
