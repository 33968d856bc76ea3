"""What a checkpoint file holds comes back as it was, and what it can't hold is refused."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

from tuner.checkpoint import restore, save
from tuner.errors import InvalidInput


def back(tmp_path: Path, value: Any) -> Any:
    path = tmp_path / "a"
    save(path, 3, {"it": value})
    return restore(path, 3, {})["it"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**200),
        0.1,
        1e-320,
        math.inf,
        -math.inf,
        "",
        "ü\ud800\0",
        b"\x00\xff",
        [],
        [1, [2.5, None]],
        (1, (2,)),
        {1, 2},
        {},
        {"a": {"$b": 1}, "c/d": 2},
        {1: "one", None: "none", (1, 2): "pair", "1": "text"},
        {"$tensor": "no tensor"},
        deque([1, 2]),
        OrderedDict(a=1),
        torch.float16,
        torch.device("cuda", 1),
        torch.Size([1, 2]),
    ],
    ids=repr,
)
def test_a_plain_value(value: Any, tmp_path: Path) -> None:
    found = back(tmp_path, value)
    assert found == value
    assert type(found) in (type(value), dict, tuple)


def test_nan_and_counters(tmp_path: Path) -> None:
    assert math.isnan(back(tmp_path, math.nan))
    found = back(tmp_path, Counter({2: 3}))
    assert list(found.elements()) == [2, 2, 2]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3),
        torch.tensor(3),
        torch.tensor(True),
        torch.empty(0, 4),
        torch.arange(6).view(2, 3).t(),
        torch.arange(10.0)[::3],
        torch.randn(3, dtype=torch.bfloat16),
        torch.randn(3).to(torch.float8_e4m3fn),
        torch.tensor([1 + 2j, -3j]),
        torch.tensor(1j, dtype=torch.complex128),
        torch.tensor([1 + 2j]).conj(),
        torch.tensor([2**63 - 1]),
        torch.tensor([65535], dtype=torch.uint16),
        torch.tensor([math.nan, -0.0]),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{list(tensor.shape)}",
)
def test_a_tensor(tensor: torch.Tensor, tmp_path: Path) -> None:
    found = back(tmp_path, tensor)
    assert (found.dtype, found.shape) == (tensor.dtype, tensor.shape)
    assert np.array_equal(bits(found), bits(tensor))


def bits(tensor: torch.Tensor) -> Any:
    return tensor.resolve_conj().contiguous().reshape(-1).view(torch.uint8).numpy()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array(2.5),
        np.empty((0, 2), np.float32),
        np.array([True, False]),
        np.array([1 + 2j], np.complex64),
        np.empty((2, 0), np.complex128),
        np.arange(4, dtype=">i4"),
        np.arange(3, dtype=np.uint16),
        np.float32(0.1),
        np.int64(7),
        np.complex128(1j),
    ],
    ids=repr,
)
def test_a_numpy_array(array: Any, tmp_path: Path) -> None:
    found = back(tmp_path, array)
    assert type(found) is type(array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(found, array)
    assert not isinstance(found, np.ndarray) or found.flags.writeable or found.size == 0


def test_tied_tensors_are_stored_once_and_are_one_again(tmp_path: Path) -> None:
    whole = torch.arange(10_000.0)
    found = back(tmp_path, {"a": whole, "b": whole, "part": whole[:10]})
    assert found["a"] is found["b"]
    assert found["part"].tolist() == list(range(10))
    assert (tmp_path / "a").stat().st_size < 79_000


def test_the_file_can_be_read_by_safetensors(tmp_path: Path) -> None:
    save(tmp_path / "a", 1, {"model": nn.Linear(2, 3), "other": torch.ones(1, dtype=torch.int8)})
    with safetensors.safe_open(tmp_path / "a", framework="pt") as file:
        names = set(file.keys())
        assert file.get_tensor("state/model/state/weight").shape == (3, 2)
        values = json.loads(file.metadata()["values"])
    assert {"state/model/state/bias", "state/other"} < names
    assert values["step"] == 1


def test_what_is_saved_is_as_of_the_call(tmp_path: Path) -> None:
    tensor, array = torch.zeros(3), np.zeros(3)
    save(tmp_path / "a", 1, {"tensor": tensor, "array": array})
    tensor += 1
    array += 1
    state = restore(tmp_path / "a", 1, {})
    assert state["tensor"].tolist() == state["array"].tolist() == [0, 0, 0]


class Strange:
    pass


def recursive() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Strange, r"it is a .*Strange, which can't be saved\. A checkpoint can hold modules"),
        (lambda: {"a": [1, Strange()]}, "it/a/1 is a "),
        (lambda: bits, "function"),
        (recursive, "nested too deeply, or holds itself"),
        (lambda: torch.empty(2, device="meta"), "on the device 'meta'"),
        (lambda: torch.eye(2).to_sparse(), "sparse .*to_dense"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested"),
        (lambda: nn.LazyLinear(2), "it/state/weight .*first batch"),
        (lambda: np.array(["a"]), "numpy array of <U1"),
        (lambda: np.array([None]), "numpy array of object"),
        (lambda: np.datetime64("2026-01-01"), "datetime64"),
        (lambda: "x" * 100_000_000, "more than the 100,000,000 that"),
        (lambda: {"model": nn.Linear(1, 1), "best": 1}, "both objects and plain values"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # quantised and nested tensors warn that they are old or new
def test_what_can_not_be_saved_is_refused(
    make: Callable[[], Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=why):
        back(tmp_path, make())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "document",
    [
        {"step": 3},
        {"step": 3, "state": [], "random": []},
        {"step": 3, "state": {}, "random": {}},
        {"step": 3, "state": {"it": {"$exec": "1"}}, "random": []},
        {"step": 3, "state": {"it": {"$tensor": "absent"}}, "random": []},
        {"step": 3, "state": {"it": {"$dtype": "load"}}, "random": []},
        {"step": 3, "state": {"it": {"$dict": [1]}}, "random": []},
        {"step": 3, "state": {}, "random": [{"python": 1}]},
        {"step": 2, "state": {}, "random": []},
    ],
)
def test_a_document_that_is_none_of_ours_is_refused(
    document: dict[str, Any], tmp_path: Path
) -> None:
    metadata = {"format": "tuner-2", "values": json.dumps(document)}
    path = tmp_path / "a"
    path.write_bytes(safetensors.torch.save({"x": torch.ones(1)}, metadata))
    with pytest.raises(InvalidInput):
        restore(path, 3, {})
