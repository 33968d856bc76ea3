"""Sizes of memory as people write them."""

from __future__ import annotations

import pytest

from tuner.errors import InvalidInput
from tuner.size import read_size, show_size
from tuner.spec import check


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 8 * 2**30),
        ("8 GiB", 8 * 2**30),
        ("1.5GB", 1_500_000_000),
        ("512MiB", 2**29),
        ("1048576B", 2**20),  # the least
        ("1024TiB", 2**50),  # the most
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8",
        "8G",
        "8gib",
        "-8GiB",
        "8  GiB",
        "1e3MiB",
        "8.GiB",
        "0GiB",
        "1023KiB",
        "1025TiB",
        "٨GiB",
    ],
)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        read_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(8 * 2**30, "8 GiB"), (8_912_345_678, "8.3 GiB"), (2**20, "1 MiB"), (12, "12 B")],
)
def test_sizes_are_shown(size: int, text: str) -> None:
    assert show_size(size) == text


@pytest.mark.parametrize("run", [{"task": "digits-mlp"}, {"entrypoint": "pkg:main"}])
def test_a_study_may_limit_the_memory(run: dict[str, str]) -> None:
    document = {"objective": {"metric": "loss"}, "run": {**run, "memory": "8GiB"}}
    assert check(document).model_dump()["run"]["memory"] == "8GiB"


@pytest.mark.parametrize("memory", ["8G", "lots", 8, 8.0, True])
def test_a_limit_that_is_none_is_refused_at_its_place(memory: object) -> None:
    run = {"entrypoint": "pkg:main", "memory": memory}
    with pytest.raises(InvalidInput) as refused:
        check({"objective": {"metric": "loss"}, "run": run})
    assert [fault.where for fault in refused.value.faults] == ["run.memory"]
