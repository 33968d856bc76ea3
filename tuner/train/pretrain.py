"""Unsupervised first weights: the lower layers learn to rebuild the input from their output.

An autoencoder whose encoder is the network without its last layer, and whose decoder is one linear
map (Vincent et al. 2010 where noise is added to the input). The decoder is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tuner.train import streams
from tuner.train.data import Split
from tuner.train.init import initialise
from tuner.train.models import Staged, keep
from tuner.train.training import Training
from tuner.train.update import Updater


def pretrain(training: Training, rows: Split, leave: Callable[[], bool]) -> bool:
    """Train the lower layers of a network on the inputs of the training rows, in float32.

    Returns:
        Whether it was finished; False, and the network untouched, if `leave` said so before.
    """
    model, recipe, device = training.model, training.recipe, training.device
    encoder = training.task.model(recipe).to(device)
    encoder.load_state_dict(model.state_dict())
    last = len(model.layers()) - 1
    encoder.layers()[last].requires_grad_(False)
    decoder = _decoder(encoder, rows, last, training.seed).to(device)
    updater = Updater.start(nn.ModuleList([encoder, decoder]), recipe)
    noise = torch.Generator(device)
    encoder.train()
    for epoch in range(recipe.pretrain):
        order = streams.order(streams.derive(training.seed, "pretrain"), epoch, len(rows))
        for number, (x, _) in enumerate(rows.batches(order, recipe.batch_size, device)):
            if leave():
                return False
            noise.manual_seed(streams.derive(training.seed, "pretrain", epoch, number))
            drawn = torch.randn(x.shape, generator=noise, device=device)
            code = encoder.between(x + recipe.pretrain_noise * drawn, 0, last, keep)
            updater.backward(rebuilding_error(decoder, code, x))
            updater.step(recipe.lr)
    for own, trained in zip(model.layers()[:last], encoder.layers()[:last], strict=True):
        own.load_state_dict(trained.state_dict())
    return True


def rebuilding_error(decoder: nn.Module, code: Tensor, x: Tensor) -> Tensor:
    """Return the mean squared error of the rebuilt inputs, []."""
    rebuilt: Tensor = decoder(code.flatten(1))
    return (rebuilt - x.flatten(1)).square().mean()


def _decoder(encoder: Staged, rows: Split, last: int, seed: int) -> nn.Linear:
    sample = rows.x[:2]
    device = next(encoder.parameters()).device
    with torch.no_grad():
        code = encoder.eval().between(sample.to(device), 0, last, keep)
    decoder = nn.Linear(code[0].numel(), sample[0].numel())
    draw = torch.Generator().manual_seed(streams.derive(seed, "decoder"))
    initialise(decoder, "xavier", 1.0, draw)
    return decoder
