"""What a command says where a part of the installation that it needs is missing."""

from __future__ import annotations

from importlib.util import find_spec

from tuner.errors import InvalidInput


def torch_needed(command: str) -> None:
    """Do nothing where torch is installed.

    Raises:
        InvalidInput: it is not.
    """
    if find_spec("torch") is None:
        raise InvalidInput(f"{command} needs torch: pip install 'tuner[torch]'")
