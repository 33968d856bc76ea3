from __future__ import annotations

import hashlib

import pytest
import torch

from tuner.train import data, tasks


def test_digits_are_split_once_and_for_all() -> None:
    digits = data.digits()
    assert [len(split) for split in (digits.train, digits.val, digits.test)] == [1078, 359, 360]
    labels = torch.cat((digits.train.y, digits.val.y, digits.test.y))
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert hashlib.sha256(bytes(labels.tolist())).hexdigest()[:16] == "0f9ffd7948cafb39"


def test_digits_are_standardised_on_the_training_rows() -> None:
    x = data.digits().train.x
    constant = x.abs().amax(0) == 0
    torch.testing.assert_close(x.mean(0), torch.zeros(64), rtol=0, atol=0.05)
    std = x.std(0, correction=0)
    # Rare pixels are cut off at 8 deviations, which lowers their deviation.
    assert (std[~constant] <= 1.001).all()
    assert std[~constant].median() == pytest.approx(1.0, abs=1e-4)
    assert max(data.digits().test.x.abs().max(), x.abs().max()) <= 8


def test_digits_have_no_row_in_two_splits() -> None:
    digits = data.digits()
    rows = torch.cat((digits.train.x, digits.val.x, digits.test.x)).tolist()
    assert len(set(map(tuple, rows))) == 1797


def test_images_are_the_same_digits() -> None:
    assert torch.equal(data.digit_images().val.x.flatten(1), data.digits().val.x)
    assert data.digit_images().val.x.shape == (359, 1, 8, 8)


def test_the_adding_problem_adds_the_two_marked_numbers() -> None:
    problem = data.adding((300, 20, 10))
    for split, rows in ((problem.train, 300), (problem.val, 20), (problem.test, 10)):
        numbers, markers = split.x.unbind(2)
        assert numbers.shape == (rows, 20)
        assert (markers[:, :10].sum(1) == 1).all()
        assert (markers[:, 10:].sum(1) == 1).all()
        torch.testing.assert_close(split.y, (numbers * markers).sum(1))
        assert ((numbers >= 0) & (numbers < 1)).all()


def test_a_constant_guess_of_the_sum_is_off_by_a_sixth() -> None:
    y = data.adding().train.y
    # The variance of y is 1/6; 4 standard errors of a sample variance of 4,000 rows are 0.011.
    assert (y - 1).square().mean().item() == pytest.approx(1 / 6, abs=0.011)


def test_batches_follow_the_order_from_any_batch() -> None:
    split = data.Split(x=torch.arange(10), y=torch.arange(10) * 2)
    order = torch.tensor([9, 0, 8, 1, 7, 2, 6, 3, 5, 4])
    batches = list(split.batches(order, 4, torch.device("cpu"), first=1))
    assert [x.tolist() for x, _ in batches] == [[7, 2, 6, 3], [5, 4]]
    assert [y.tolist() for _, y in batches] == [[14, 4, 12, 6], [10, 8]]


@pytest.mark.parametrize("task", tasks.names())
def test_data_is_made_once_and_stays_on_the_cpu_as_it_is(task: str) -> None:
    made = tasks.get(task).data()
    assert tasks.get(task).data() is made
    assert made.resident(torch.device("cpu")).train.x.data_ptr() == made.train.x.data_ptr()
