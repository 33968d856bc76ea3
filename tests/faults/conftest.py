"""The table of promises: what each fault test tried, and what failed.

`pytest tests/faults` runs the short form, `--faults-long` (`make faults`) the full one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.table import Row, table

_KEY = "tally"
Rounds = Callable[[int, int], int]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-long", action="store_true", help="run the fault tests in full")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "parts(n): the long form runs n times, as `part`")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Cut the long form of a case into parts that run side by side; the short form has one."""
    if (mark := metafunc.definition.get_closest_marker("parts")) is not None:
        parts = mark.args[0] if metafunc.config.getoption("--faults-long") else 1
        metafunc.parametrize("part", range(parts))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """Give a function of two counts: the first in the long form, the second in the short one."""
    long = bool(request.config.getoption("--faults-long", default=False))
    return lambda in_full, in_short: in_full if long else in_short


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Give what adds a row to the table, and fails the test if anything failed."""

    def add(promise: str, tries: int, failures: int, note: str = "") -> None:
        record_property(_KEY, [promise, tries, failures, note])
        assert tries > 0, f"{promise}: nothing was tried"
        assert failures == 0, f"{promise}: {failures} of {tries} failed; {note}"

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.getreports(kind)]
    rows = [
        Row(*value)
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == _KEY
    ]
    if rows:
        terminalreporter.section("promises")
        for line in table(rows):
            terminalreporter.write_line(line)
