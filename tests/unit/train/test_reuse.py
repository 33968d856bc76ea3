"""What is taken from other trainings, and what is learned without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.train.trainings import CPU, saved, trained, training
from tuner.errors import InvalidInput
from tuner.train import solo, tasks
from tuner.train.models import keep
from tuner.train.pretrain import pretrain
from tuner.train.pseudo import Unlabelled, split_labels, sure_labels
from tuner.train.reuse import Teachers, cached, load

DEEP: dict[str, Any] = {"depth": 3, "width": 16}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint of a deep network after 3 epochs."""
    folder = tmp_path_factory.mktemp("source")
    return trained(folder, recipe=DEEP | {"norm": "batch"}, steps=3).checkpoints[-1].path


def _from(source: Path, **more: Any) -> dict[str, Any]:
    recipe = DEEP | {"norm": "batch", "start_from": "other/1"} | more
    return recipe | {"sources": {"start_from": (source,)}}


def test_a_checkpoint_gives_the_first_weights(source: Path) -> None:
    given, own = load(source), training(**_from(source)).model
    assert all(torch.equal(t, given.state_dict()[name]) for name, t in own.state_dict().items())


def test_its_averaged_weights_if_it_has_any(tmp_path: Path) -> None:
    path = trained(tmp_path, recipe={"average": 0.9}).checkpoints[-1].path
    own = load(path)
    mean = saved(trained(tmp_path / "again", recipe={"average": 0.9}))["average"]["mean"]["weights"]
    assert torch.equal(torch.cat([p.flatten() for p in own.parameters()]), mean)


def test_upper_layers_may_begin_anew(source: Path) -> None:
    model, plain = training(**_from(source, fresh_layers=2)).model, training(**DEEP, norm="batch")
    given = load(source)
    for name, found in model.state_dict().items():
        lower = name.startswith(("hidden.0", "hidden.1"))
        other = given.state_dict() if lower else plain.model.state_dict()
        assert torch.equal(found, other[name]), name


def test_another_shape_is_refused_by_the_layer(source: Path) -> None:
    with pytest.raises(InvalidInput, match="layer 1 of 4 does not fit"):
        training(**_from(source, width=24))
    assert training(**_from(source, depth=2, fresh_layers=1)).model  # the lower two fit


def test_a_checkpoint_that_was_not_handed_over_is_said_to_be_missing() -> None:
    with pytest.raises(InvalidInput, match="start_from: the checkpoint was not handed"):
        training(start_from="other/1")


def test_held_layers_stay_to_the_bit(source: Path, tmp_path: Path) -> None:
    recipe = {k: v for k, v in _from(source, freeze=2).items() if k != "sources"}
    trial = trained(tmp_path, recipe=recipe, sources={"start_from": (source,)})
    after, before = saved(trial)["model"], load(source).state_dict()
    for name, tensor in before.items():
        held = name.startswith(("hidden.0", "hidden.1"))  # batch norm's statistics, too
        assert torch.equal(after[name], tensor) == held, name


def test_cached_outputs_train_as_computed_ones(source: Path, tmp_path: Path) -> None:
    curves = []
    for cache in (False, True):
        recipe = {k: v for k, v in _from(source, freeze=2).items() if k != "sources"}
        trial = trained(
            tmp_path / str(cache),
            recipe=recipe | {"cache_frozen": cache},
            sources={"start_from": (source,)},
        )
        curves.append([report.metrics for report in trial.reports])
    for plain, fast in zip(*curves, strict=True):
        for name in ("train_loss", "val_loss", "grad_norm"):
            assert fast[name] == pytest.approx(plain[name], rel=1e-5), name


def test_cached_data_is_what_the_lower_layers_make_of_it(source: Path) -> None:
    held = training(**_from(source, freeze=2))
    data = tasks.get("digits-mlp").data()
    found = cached(held.model, data, 2, CPU)
    held.model.eval()
    torch.testing.assert_close(found.val.x, held.model.between(data.val.x, 0, 2, keep))
    assert found.train.x.shape == (1078, 16)
    assert found.train.y is data.train.y


def test_one_layer_must_be_left_to_train() -> None:
    with pytest.raises(InvalidInput, match="2 layers, one must be left"):
        training(freeze=2)


def test_teachers_say_their_mean_probability(source: Path, tmp_path: Path) -> None:
    other = trained(tmp_path, steps=1).checkpoints[-1].path
    x = tasks.get("digits-mlp").data().val.x[:20]
    found = Teachers([source, other], tasks.get("digits-mlp"), CPU, 3.0)(x)
    each = torch.stack([(load(path)(x, keep) / 3).softmax(1) for path in (source, other)])
    torch.testing.assert_close(found.exp(), each.mean(0))


def test_a_teacher_of_another_task_is_refused(tmp_path: Path) -> None:
    other = trained(tmp_path, "digits-cnn", steps=1).checkpoints[-1].path
    with pytest.raises(InvalidInput, match="its task is 'digits-cnn', not 'digits-mlp'"):
        training(teacher=["a/1"], sources={"teacher": (other,)})


def test_layers_of_another_task_are_taken_over(source: Path) -> None:
    recipe = _from(source, fresh_layers=1)
    model, given = training("digits-rare", **recipe).model, load(source)
    for number, layer in enumerate(model.layers()[:-1]):
        theirs = given.layers()[number].state_dict()
        assert all(torch.equal(t, theirs[name]) for name, t in layer.state_dict().items())


def test_a_pupil_comes_closer_to_its_teacher(source: Path, tmp_path: Path) -> None:
    x = tasks.get("digits-mlp").data().val.x
    teacher = load(source)(x, keep).log_softmax(1)
    apart = []
    for weight in (0.0, 0.5, 1.0):
        recipe = {"teacher": "other/1", "teacher_weight": weight, "temperature": 1.0}
        folder = tmp_path / str(weight)
        pupil = trained(folder, recipe=recipe, steps=5, sources={"teacher": (source,)})
        own = load(pupil.checkpoints[-1].path)(x, keep).log_softmax(1)
        apart.append(float((teacher.exp() * (teacher - own)).sum(1).mean()))
    assert apart[0] > apart[1] > apart[2]


def test_an_autoencoders_lower_layers_begin_the_training() -> None:
    rows = tasks.get("digits-mlp").data().train
    own = training(pretrain=3, lr=0.1, batch_size=64, pretrain_noise=0.1)
    before = {name: tensor.clone() for name, tensor in own.model.state_dict().items()}
    polls = iter([False] * 5 + [True] * 99)
    assert not pretrain(own, rows, lambda: next(polls))
    assert all(torch.equal(t, before[n]) for n, t in own.model.state_dict().items())
    assert pretrain(own, rows, lambda: False)
    after = own.model.state_dict()
    assert not torch.equal(after["hidden.0.map.weight"], before["hidden.0.map.weight"])
    assert torch.equal(after["out.weight"], before["out.weight"])
    again = training(pretrain=3, lr=0.1, batch_size=64, pretrain_noise=0.1)
    assert pretrain(again, rows, lambda: False)
    assert all(torch.equal(t, after[n]) for n, t in again.model.state_dict().items())


def test_a_linear_decoder_rebuilds_better_from_what_was_learned() -> None:
    """The least squares of the inputs on the codes: learned codes hold more of the digits."""
    rows = tasks.get("digits-mlp").data().train

    def error(model: Any) -> float:
        model.eval()
        with torch.no_grad():
            code = model.between(rows.x, 0, 1, keep)
        code = torch.cat((code, torch.ones(len(code), 1)), dim=1)
        found = torch.linalg.lstsq(code, rows.x, driver="gelsd").solution
        return float((code @ found - rows.x).square().mean())

    options: dict[str, Any] = {"width": 16, "lr": 0.02, "optimizer": "adam", "batch_size": 64}
    raw, own = training(**options), training(**options, pretrain=10)
    assert pretrain(own, rows, lambda: False)
    assert error(own.model) < 0.8 * error(raw.model)


def test_unlabelled_rows_are_training_rows_without_their_labels() -> None:
    data = tasks.get("digits-mlp").data()
    found, others = split_labels(data, 0.1)
    assert others is not None
    assert (len(found.train), len(others)) == (108, 970)
    assert found.val is data.val
    assert found.test is data.test
    both = torch.cat((found.train.x, others))
    assert sorted(map(tuple, both.tolist())) == sorted(map(tuple, data.train.x.tolist()))
    assert split_labels(data, 1.0) == (data, None)


def test_unlabelled_batches_go_round() -> None:
    rows = Unlabelled(torch.arange(5.0)[:, None], seed=1)
    epoch = torch.cat([rows.batch(0, number, 2) for number in range(5)]).flatten().tolist()
    assert sorted(epoch[:5]) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert epoch[5:] == epoch[:5]
    assert (
        Unlabelled(torch.arange(5.0)[:, None], seed=1).batch(0, 3, 2).flatten().tolist()
        == epoch[6:8]
    )


def test_only_sure_predictions_are_labels() -> None:
    logits = torch.tensor([[0.0, 4.0], [0.0, 0.1]])  # 0.98 and 0.52
    labels, sure = sure_labels(logits, 0.95)
    assert (labels.tolist(), sure.tolist()) == ([1, 1], [1.0, 0.0])


@pytest.mark.parametrize(("confidence", "moves"), [(0.0, True), (1.0, False)])
def test_unsure_rows_add_nothing(confidence: float, moves: bool) -> None:
    one, plain = training(labelled=0.1, pseudo_labels=confidence), training()
    train = tasks.get("digits-mlp").data().train
    solo.step(one, train.x[:32], train.y[:32], 0.05, train.x[32:64])
    solo.step(plain, train.x[:32], train.y[:32], 0.05)
    assert torch.equal(one.weights.value, plain.weights.value) is not moves


def test_a_sure_rows_loss_joins_that_of_the_labels() -> None:
    one = training(labelled=0.1, pseudo_labels=0.5, pseudo_weight=0.3)
    plain = training()
    train = tasks.get("digits-mlp").data().train
    x, y, more = train.x[:32], train.y[:32], train.x[32:64]
    logits = plain.model(more, keep)
    sure = logits.softmax(1).amax(1) >= 0.5
    assert 0 < sure.sum() < 32
    extra = (plain.task.loss(logits, logits.argmax(1)) * sure).sum() / 32
    mean = plain.task.loss(plain.model(x, keep), y).mean() + 0.3 * extra
    weights = [p for p in plain.model.parameters() if p.requires_grad]
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(mean, weights)])
    before = one.weights.value.clone()
    solo.step(one, x, y, 0.05, more)
    torch.testing.assert_close(one.weights.value, before - 0.05 * gradient)
