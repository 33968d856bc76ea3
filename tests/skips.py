"""A pytest plugin: in CI (`CI` set) a skipped test is a failure, unless it is marked `gpu`.

A test marked `gpu` is skipped where there is no CUDA device. A module that skips itself while it
is collected can't be told from one that needs a GPU, so in CI it fails, too.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Generator

import pytest


def in_ci() -> bool:
    """Tell whether continuous integration runs the tests."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


@functools.cache
def cuda_available() -> bool:
    """Tell whether torch sees a CUDA device."""
    import torch

    return torch.cuda.is_available()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None and not cuda_available():
        pytest.skip("needs a CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("gpu") is None and not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.outcome == "skipped" and in_ci():
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure in CI: {_reason(report)}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    match report.longrepr:
        case (path, line, message):
            return f"{message} ({path}:{line})"
        case other:
            return str(other)
