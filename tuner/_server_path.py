"""The one door from `tuner` to the server's code, bound late.

The wheel carries `api` and `storage` under `tuner/_server/`, since their names are too general for
other people's site-packages. Commands that need them (`serve`, `db`, `token`, `demo`,
`open_storage`) call `add` first; a worker never does. Inside `tuner` this module alone may import
the two packages.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = Path(__file__).resolve().parent


def add() -> Path:
    """Make `api` and `storage` importable and return the folder that holds them.

    Installed from a wheel that is `tuner/_server`; in a checkout it is the root.
    """
    bundled = _PACKAGE / "_server"
    folder = bundled if bundled.is_dir() else _PACKAGE.parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return folder


def load(name: str) -> ModuleType:
    """Import a module of the server's, such as `api.serve`.

    Raises:
        ImportError: the server's packages, or what they need, are not installed.
    """
    add()
    return importlib.import_module(name)


def open_storage(url: str) -> Any:
    """Open a database as an `optuna.storages.BaseStorage`; this process owns it until it is closed.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://...`.

    Raises:
        ImportError: the server's packages are not installed.
        OwnerLost: a server or another process owns the database.
    """
    return load("storage").open_storage(url)
