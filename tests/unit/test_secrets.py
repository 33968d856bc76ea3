"""No secret lies in the repository, and one that did would be found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.secrets_scan import ROOT, Found, known, scan

# In pieces, so that this file holds no secret itself.
PLANTED = (
    'password = "' + "correct-horse-7f3Qz9" + '"',
    "AWS_KEY=" + "AKIA" + "IOSFODNN7EXAMPLQ",
    "-----BEGIN " + "RSA PRIVATE KEY-----",
    "url = 'https://someone:" + "hunter22b@example.com/'",
)


@pytest.fixture(scope="module")
def found() -> Found:
    return scan(ROOT)


def test_nothing_new_looks_like_a_secret(found: Found) -> None:
    new = found - known()
    assert not new, "harmless? then run `make secrets` and look at what it changed"


def test_the_baseline_names_nothing_that_is_gone(found: Found) -> None:
    assert known() <= found


@pytest.mark.parametrize("line", PLANTED)
def test_a_planted_secret_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "settings.py").write_text(f"{line}\n")
    assert {name for name, _, _ in scan(tmp_path)} == {"api/settings.py"}
