from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tuner.errors import InvalidInput
from tuner.train import state

TREE = {
    "model": {"a.weight": torch.arange(6.0).view(2, 3), "deep": {"b": torch.tensor(3)}},
    "optimizer": {},
    "epoch": 3,
    "training": {"task": "digits-mlp", "recipe": {"lr": 0.1, "momentum": None}},
}


def _flat(tree: object) -> object:
    if isinstance(tree, dict):
        return {name: _flat(item) for name, item in tree.items()}
    return (tree.dtype, tree.tolist()) if isinstance(tree, torch.Tensor) else tree


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    state.save(path, TREE)
    assert _flat(state.load(path)) == _flat(TREE)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_views_of_one_vector_are_saved_apart(tmp_path: Path) -> None:
    vector = torch.arange(10.0)
    state.save(tmp_path / "a", {"left": vector[:4], "right": vector[2:].view(2, 4).t()})
    loaded = state.load(tmp_path / "a")
    assert loaded["left"].tolist() == [0, 1, 2, 3]
    assert loaded["right"].tolist() == [[2, 6], [3, 7], [4, 8], [5, 9]]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    state.save(path, {"epoch": 1})
    state.save(path, {"epoch": 2})
    assert state.load(path) == {"epoch": 2}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    state.save(path, {"epoch": 1})
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limit[1]))
    try:
        with pytest.raises(OSError):  # noqa: PT011 (the system's words)
            state.save(path, {"weights": torch.zeros(1000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert state.load(path) == {"epoch": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_reader_always_finds_a_whole_file(tmp_path: Path) -> None:
    path, done = tmp_path / "a", threading.Event()
    state.save(path, {"epoch": 0})

    def write() -> None:
        for epoch in range(200):
            state.save(path, {"epoch": epoch, "weights": torch.full((5000,), float(epoch))})
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while not done.is_set():
            tree = state.load(path)
            assert "weights" not in tree or (tree["weights"] == tree["epoch"]).all()
    finally:
        writer.join()


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    state.save(path, TREE)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match="a can't be read"):
            state.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(InvalidInput, match="a can't be read"):
        state.load(path)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": state.OLD_FORMAT},
        {"format": state.OLD_FORMAT, "values": "{"},
        {"format": state.OLD_FORMAT, "values": "[" * 100_000},
        {"format": state.OLD_FORMAT, "values": "[]"},
        {"format": "other", "values": "{}"},
        {"values": "{}"},
        {"format": state.OLD_FORMAT, "values": json.dumps({"a": 1})},  # a is also a folder
    ],
)
def test_a_safetensors_file_that_is_no_checkpoint_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "a"
    path.write_bytes(safetensors.torch.save({"a/b": torch.ones(1)}, metadata))
    with pytest.raises(InvalidInput):
        state.load(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64, bytes(64)])
def test_any_other_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(InvalidInput):
        state.load(path)


def test_a_file_of_the_first_format_is_read(tmp_path: Path) -> None:
    values = {"epoch": 3, "training": {"lr": 0.1}, "optimizer": {}, "seconds": float("nan")}
    metadata = {"format": "tuner-1", "values": json.dumps(values)}
    tensors = {"model/a.weight": torch.ones(2), "model/deep/b": torch.tensor(3)}
    path = tmp_path / "a"
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    tree = state.load(path)
    assert _flat(tree["model"]) == _flat(
        {"a.weight": torch.ones(2), "deep": {"b": torch.tensor(3)}}
    )
    assert (tree["epoch"], tree["training"], tree["optimizer"]) == (3, {"lr": 0.1}, {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing"):
        state.load(tmp_path / "nothing")
