"""Digits of which one is rare in training: is it an 8?"""

from __future__ import annotations

from functools import cache, partial

import torch

from tuner.train.data import Data, Split, digits
from tuner.train.models import Mlp

RARE = 8
SHOWN = 20
"""Eights among the training rows; the split has 105 of them."""


@cache
def rare_digits() -> Data:
    """Return `digits` with y 1 for an 8 and else 0; training sees the first 20 eights only.

    Validation and test keep all of theirs, a tenth of the rows, so that they tell how well the rare
    class is found.
    """
    flat = digits()
    is_rare = flat.train.y == RARE
    kept = ~is_rare | (is_rare.cumsum(0) <= SHOWN)
    train = Split(x=flat.train.x[kept], y=flat.train.y[kept])
    return Data(train=_asked(train), val=_asked(flat.val), test=_asked(flat.test))


def _asked(split: Split) -> Split:
    return Split(x=split.x, y=(split.y == RARE).to(torch.int64))


RareMlp = partial(Mlp, outputs=2)
"""The digits' network with two outputs."""
