"""Names of kept files, folders walked, ranges read, and URLs that stay out of logs."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import httpx
import pytest

from api.files.give import span_of
from tuner.artifact import artifact_name, preview_kind
from tuner.client.signed import Masked, masked
from tuner.errors import InvalidInput
from tuner.files import collect


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("loss.png", "loss.png"),
        ("plots/2026/loss.png", "plots/2026/loss.png"),
        ("Grün ☃.txt", "Grün ☃.txt"),
        ("Gru\u0308n.txt", "Gr\u00fcn.txt"),  # composed
        (".hidden", ".hidden"),
        ("a b/c d", "a b/c d"),
        ("...", "..."),
        ("%2e%2e", "%2e%2e"),  # a name like any other: it is never decoded
        ("/".join("abcdefghijklmnop"), "/".join("abcdefghijklmnop")),
    ],
)
def test_names_that_are_taken(name: str, form: str) -> None:
    assert artifact_name(name) == form


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "a/",
        ".",
        "a/.",
        "..\\x",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\x7fb",
        "a\u200bb",  # zero width
        "a\u202eb",  # right to left
        "\ud800",  # half of a pair
        " a",
        "a ",
        "a/ b",
        "x" * 201,
        "é" * 101,  # bytes, not characters
        "/".join("abcdefghijklmnopq"),  # too deep
        "/".join(["x" * 190] * 3),  # too long
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        artifact_name(name)


def test_what_a_name_says_of_its_content() -> None:
    kinds = {name: preview_kind(name) for name in ("a.CSV", "b.png", "c.svg", "d.bin", "e")}
    assert kinds == {"a.CSV": "text", "b.png": "image", "c.svg": "text", "d.bin": None, "e": None}


def test_a_folder_is_walked_and_not_left(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("o")
    root = tmp_path / "run"
    (root / "deep").mkdir(parents=True)
    (root / "b.txt").write_text("b")
    (root / "deep" / "a.txt").write_text("a")
    (root / "inner").symlink_to(root / "b.txt")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    (root / "gone").symlink_to(root / "nothing")
    os.mkfifo(root / "pipe")
    found = collect(root, "kept")
    assert [name for name, _ in found] == ["kept/b.txt", "kept/inner", "kept/deep/a.txt"]
    assert next(name for name, _ in collect(root)) == "run/b.txt"


def test_a_file_is_kept_under_its_own_name_or_another(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    assert collect(tmp_path / "x.txt") == [("x.txt", tmp_path / "x.txt")]
    assert collect(tmp_path / "x.txt", "a/y.txt") == [("a/y.txt", tmp_path / "x.txt")]
    with pytest.raises(InvalidInput, match="no file or folder"):
        collect(tmp_path / "z.txt")
    with pytest.raises(InvalidInput, match="can't be kept"):
        collect(tmp_path / "x.txt", "../y.txt")


@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        (None, None),
        ("bytes=0-", (0, 9)),
        ("bytes=0-0", (0, 0)),
        ("bytes=2-4", (2, 4)),
        ("bytes=2-99", (2, 9)),
        ("bytes=-3", (7, 9)),
        ("bytes=-99", (0, 9)),
        ("bytes=10-", None),  # beyond its end: the whole file
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=-0", None),
        ("bytes=0-1,4-5", None),  # several
        ("items=0-1", None),
        ("bytes=0x1-2", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_ranges(wanted: str | None, span: tuple[int, int] | None) -> None:
    assert span_of(wanted, 10) == span


def test_nothing_is_a_range_of_an_empty_file() -> None:
    assert span_of("bytes=0-", 0) is None


def test_signatures_stay_out_of_logs() -> None:
    url = "http://s/b/k?X-Amz-Credential=AKID%2F1&X-Amz-Expires=300&X-Amz-Signature=0abc&x=1"
    said = masked(url)
    assert "0abc" not in said
    assert "AKID" not in said
    assert said.endswith("&x=1")
    record = logging.LogRecord("httpx", 20, "", 1, "%s %s", ("PUT", httpx.URL(url)), None)
    assert Masked().filter(record)
    assert "0abc" not in record.getMessage()
    assert any(isinstance(f, Masked) for f in logging.getLogger("httpx").filters)
