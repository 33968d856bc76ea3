"""Versions of all installed distributions, of this interpreter or of another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distributions

from tuner.wire.environments import MOST_PACKAGES

_TIMEOUT_S = 20.0
_LIST = (
    "import json, sys\n"
    "from importlib.metadata import distributions as d\n"
    "found = [(p.metadata['Name'], p.version) for p in d()]\n"
    "print(json.dumps([sys.version.split()[0], found]))\n"
)


def installed() -> dict[str, str]:
    """Return name and version of what this interpreter finds; the first on the path counts."""
    return _listed((one.metadata["Name"], one.version) for one in distributions())


def installed_for(executable: str) -> tuple[str, dict[str, str]] | None:
    """Ask another Python for its version and packages; None if it does not answer."""
    if os.path.realpath(executable) == os.path.realpath(sys.executable):
        return None
    try:
        done = subprocess.run(  # noqa: S603 (what the trial's command names)
            [executable, "-c", _LIST],
            capture_output=True, timeout=_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        version, found = json.loads(done.stdout)
        return str(version), _listed((name, value) for name, value in found)
    except (OSError, ValueError, TypeError, subprocess.SubprocessError):
        return None


def _listed(pairs: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, version in pairs:  # type: ignore[attr-defined]
        if isinstance(name, str) and len(found) < MOST_PACKAGES:
            found.setdefault(name[:200], str(version)[:200])
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return the packages whose versions differ, '' where one is absent; names in any case."""
    old = {_same(name): (name, version) for name, version in before.items()}
    new = {_same(name): (name, version) for name, version in now.items()}
    found = {}
    for key in sorted(old.keys() | new.keys()):
        name = (old.get(key) or new[key])[0]
        pair = (old.get(key, ("", ""))[1], new.get(key, ("", ""))[1])
        if pair[0] != pair[1]:
            found[name] = pair
    return found


def _same(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
