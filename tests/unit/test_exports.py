"""What `import tuner` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tuner


def test_all_is_complete() -> None:
    assert set(tuner._HOME) == set(tuner.__all__)
    for name in tuner.__all__:
        assert getattr(tuner, name).__name__ == name
    assert set(tuner.__all__) <= set(dir(tuner))


def test_nothing_else_is_there() -> None:
    with pytest.raises(AttributeError, match="tunr"):
        _ = tuner.tunr


def test_the_package_is_light() -> None:
    code = "import sys, tuner; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"httpx", "pydantic", "typer", "torch"} & set(ran.stdout.split())
