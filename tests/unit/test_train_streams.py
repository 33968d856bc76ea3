from __future__ import annotations

import math

import torch

from tuner.train import streams
from tuner.train.streams import Dropout

CPU = torch.device("cpu")


def test_an_order_is_a_permutation_of_all_rows() -> None:
    assert sorted(streams.order(1, 0, 1000).tolist()) == list(range(1000))


def test_an_order_follows_from_seed_and_epoch_alone() -> None:
    torch.manual_seed(0)
    first = streams.order(1, 5, 100)
    torch.manual_seed(1)
    streams.order(2, 7, 100)
    assert torch.equal(streams.order(1, 5, 100), first)
    assert not torch.equal(streams.order(1, 6, 100), first)
    assert not torch.equal(streams.order(2, 5, 100), first)


def test_streams_of_one_seed_differ() -> None:
    seeds = {streams.derive(1, *path) for path in (("weights",), ("order", 0), ("dropout", 0, 0))}
    assert len(seeds) == 3


def test_a_path_can_not_be_mistaken_for_another() -> None:
    assert streams.derive(1, "order", 11) != streams.derive(11, "order", 1)
    assert streams.derive(1, "dropout", 1, 11) != streams.derive(1, "dropout", 11, 1)


def test_derived_seeds_never_change() -> None:
    # A resumed trial may run on another version of this program.
    assert streams.derive(0, "weights") == 7388263408636359099
    assert streams.derive(2**31 - 1, "dropout", 3, 4) == 5592752669290394788


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    drop = Dropout(0.5, 1, CPU)
    drop.at(0, 0)
    drop(torch.ones(10))
    streams.order(1, 0, 10)
    torch.randn(3, generator=streams.weights_generator(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_keeps_the_expectation() -> None:
    p, n = 0.3, 200_000
    drop = Dropout(p, 1, CPU)
    drop.at(0, 0)
    dropped = drop(torch.ones(n))
    zeros = (dropped == 0).double().mean().item()
    assert abs(zeros - p) < 4 * math.sqrt(p * (1 - p) / n)
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)))


def test_dropout_stops_the_gradient_where_it_drops() -> None:
    hidden = torch.ones(1000, requires_grad=True)
    drop = Dropout(0.5, 1, CPU)
    drop.at(0, 0)
    dropped = drop(hidden)
    dropped.sum().backward()  # type: ignore[no-untyped-call]
    assert hidden.grad is not None
    assert torch.equal(hidden.grad, dropped.detach())


def test_dropout_of_a_batch_is_the_same_again_and_other_batches_differ() -> None:
    drop, hidden = Dropout(0.5, 1, CPU), torch.ones(100)
    drawn: dict[tuple[int, int], torch.Tensor] = {}
    for at in ((0, 0), (0, 1), (1, 0), (0, 0)):
        drop.at(*at)
        now = drop(hidden)
        assert torch.equal(drawn.setdefault(at, now), now)
        assert not torch.equal(drop(hidden), now)  # a second layer has a mask of its own
    assert len({tuple(mask.tolist()) for mask in drawn.values()}) == 3


def test_no_dropout_changes_nothing() -> None:
    hidden = torch.ones(3)
    assert Dropout(0.0, 1, CPU)(hidden) is hidden
