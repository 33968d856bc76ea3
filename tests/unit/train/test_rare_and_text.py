"""A rare class is found sooner with focal loss; a text is learned character by character."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 (torch's own convention)

from benchmarks import characters as grams
from tests.unit.train.trainings import curve, saved, trained, training
from tuner.errors import InvalidInput
from tuner.train import characters, losses, scores, tasks
from tuner.train.models import keep


def test_the_rare_class_is_rare_in_training_only() -> None:
    rows = tasks.get("digits-rare").data()
    assert (len(rows.train), int(rows.train.y.sum())) == (989, 20)
    assert [int(part.y.sum()) for part in (rows.val, rows.test)] == [37, 28]


def test_focal_loss_wins_on_the_rare_class(tmp_path: Path) -> None:
    found: dict[str, list[float]] = {"cross_entropy": [], "focal": []}
    for loss, values in found.items():
        for seed in range(5):
            trial = trained(tmp_path / loss, "digits-rare", {"loss": loss}, steps=18, seed=seed)
            values.append(trial.reports[-1].metrics["val_rare_f1"])
    pairs = zip(found["focal"], found["cross_entropy"], strict=True)
    assert all(focal > plain for focal, plain in pairs)
    assert sum(found["focal"]) / 5 > sum(found["cross_entropy"]) / 5 + 0.1


def test_scores_of_the_rare_class_have_their_usual_values() -> None:
    logits = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    labels = torch.tensor([1, 0, 1, 1, 0])
    one = scores.rare(1)
    found = one.read((one.count(logits, labels) / 5).tolist())
    assert found == pytest.approx({"rare_recall": 1 / 3, "rare_precision": 0.5, "rare_f1": 0.4})
    assert set(one.read([0.0, 0.0, 0.0]).values()) == {0.0}
    both = scores.balanced(3)  # class 2 is not there: it does not count
    means = (both.count(torch.cat((logits, logits[:, :1] - 9), 1), labels) / 5).tolist()
    assert both.read(means) == pytest.approx({"balanced_accuracy": (1 / 3 + 1 / 2) / 2})


def test_windows_are_of_the_text_and_none_reaches_over_a_split() -> None:
    rows = characters.characters()
    text, letters = characters.text(), characters.alphabet()
    assert text.startswith("Alice was beginning to get very tired")
    for split, begin, end in ((rows.train, 0.0, 0.8), (rows.val, 0.8, 0.9), (rows.test, 0.9, 1.0)):
        part = text[int(begin * len(text)) : int(end * len(text))]
        for row in (0, len(split) - 1):
            at = row * characters.STRIDE
            x = "".join(letters[place] for place in split.x[row].argmax(1))
            y = "".join(letters[place] for place in split.y[row])
            assert (x, y) == (part[at : at + 32], part[at + 1 : at + 33])


def test_no_prediction_sees_what_it_predicts() -> None:
    one = training("text-lstm", init_scale=1.0)
    x = characters.characters().val.x[:1].clone()
    before = one.model(x, keep)
    x[0, 20] = x[0, 20].roll(1)
    after = one.model(x, keep)
    assert torch.equal(before[:, :, :20], after[:, :, :20])
    assert not torch.equal(before[:, :, 20], after[:, :, 20])


def test_characters_are_learned_from_those_before_them(tmp_path: Path) -> None:
    counts = Counter(characters.text())
    total = counts.total()
    alone = -sum(n / total * math.log(n / total) for n in counts.values())  # nats, 3.01
    trial = trained(tmp_path, "text-lstm", steps=10)
    assert trial.reports[-1].metrics["val_loss"] < alone - 0.5
    assert trial.reports[-1].metrics["val_accuracy"] > 0.3


def test_n_grams_of_characters_have_known_chances() -> None:
    pairs = grams.n_gram("abab", 2, "abc")
    # Alone: (2 seen + 2 kinds / 3) of (4 seen + 2 kinds). After a: b twice of 2, and one kind.
    alone = (2 + 2 / 3) / 6
    assert pairs("", "a") == pytest.approx(alone)
    assert pairs("a", "b") == pytest.approx((2 + alone) / 3)
    assert sum(pairs("b", letter) for letter in "abc") == pytest.approx(1)
    assert pairs("c", "a") == pytest.approx(alone)  # never seen: the shorter context
    assert grams.loss(pairs, ["ab"]) == pytest.approx(-math.log((2 + alone) / 3))


def test_an_lstm_knows_more_than_pairs_of_characters(tmp_path: Path) -> None:
    train, windows = grams.parts()
    pairs = grams.loss(grams.n_gram(train, 2, characters.alphabet()), windows)
    trial = trained(tmp_path, "text-lstm", steps=27)
    assert trial.reports[-1].metrics["val_loss"] < pairs - 0.2


def test_losses_of_places_are_those_of_torch() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 5, 4, generator=draw)
    labels = torch.randint(5, (3, 4), generator=draw)
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        torch.testing.assert_close(losses.nats(logits, labels, smoothing), expected)


def test_losses_of_places_are_averaged_over_a_row() -> None:
    one = training("text-lstm", loss="focal", focal_gamma=0.0)
    rows = characters.characters().val
    logits = one.model(rows.x, keep)
    torch.testing.assert_close(one.row_loss(logits, rows.y), one.task.loss(logits, rows.y))
    apart = losses.taught(logits, logits.log_softmax(1), 1.0, classes=True)
    torch.testing.assert_close(apart, torch.zeros(len(rows)), atol=1e-6, rtol=0)
    with pytest.raises(InvalidInput, match="is for tasks whose targets are classes"):
        trained(Path("unused"), "text-lstm", {"labelled": 0.5, "pseudo_labels": 0.9})


@pytest.mark.parametrize(
    ("task", "recipe"),
    [
        ("digits-rare", {"batch_size": 330, "loss": "focal", "dropout": 0.2}),
        ("text-lstm", {"batch_size": 118, "dropout": 0.2, "noise": 0.1, "test_augment": 1}),
    ],
)
def test_interrupted_in_the_middle_of_an_epoch(
    task: str, recipe: dict[str, float], tmp_path: Path
) -> None:
    whole = trained(tmp_path / "whole", task, recipe)
    batches = math.ceil(len(tasks.get(task).data().train) / recipe["batch_size"])
    asked = iter(range(100))
    first = trained(
        tmp_path / "first", task, recipe, every=3600, leave=lambda: next(asked) > batches + 1
    )
    assert saved(first)["batch"] == 1
    second = trained(tmp_path / "second", task, recipe, resume=first.checkpoints[-1])
    assert curve([*first.reports[:1], *second.reports]) == curve(whole.reports)


def test_a_student_of_characters_learns_from_a_teacher(tmp_path: Path) -> None:
    teacher = trained(tmp_path / "teacher", "text-lstm", steps=1).checkpoints[-1].path
    student = trained(
        tmp_path / "student", "text-lstm", {"teacher": "a/1"}, steps=1,
        sources={"teacher": (teacher,)},
    )  # fmt: skip
    assert math.isfinite(student.reports[-1].value)
