"""Where this user's data lies: the folder, the built-in tokens, the default database.

The server writes there and the command line reads there, so both find each other on one machine.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import platformdirs

from tuner.errors import InvalidInput, NotAuthenticated

TOKEN_VARIABLE = "TUNER_ADMIN_TOKEN"  # noqa: S105
WORKER_VARIABLE = "TUNER_WORKER_TOKEN"
PROJECT_VARIABLE = "TUNER_WORKER_PROJECT"
_SHORTEST = 8
_STRONG = 32
"""Characters of a token that no number of guesses finds, if they are random."""


def folder() -> Path:
    """Return the user's data folder: `TUNER_HOME` if set, else the system's place for it."""
    chosen = os.environ.get("TUNER_HOME")
    return Path(chosen).absolute() if chosen else platformdirs.user_data_path("tuner", "tuner")


def token_file() -> Path:
    """Return the path of the admin token."""
    return folder() / "admin-token"


def database_url() -> str:
    """Return the URL of the default database, a SQLite file in the data folder."""
    return f"sqlite:///{folder() / 'tuner.db'}"


def read_admin_token() -> str | None:
    """Return the admin token from the environment or the file, None if there is neither.

    Raises:
        NotAuthenticated: the file can't be read by this user.
    """
    if chosen := os.environ.get(TOKEN_VARIABLE):
        return chosen
    try:
        return token_file().read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise NotAuthenticated(f"{token_file()} can't be read: {exc}") from exc


def make_token() -> tuple[str, bool]:
    """Return the admin token, and whether it was made just now.

    The file appears whole and readable by its owner alone, or not at all.

    Raises:
        InvalidInput: the token found is too short or has characters that no header can carry.
        NotAuthenticated: the file can't be read by this user.
    """
    token = read_admin_token()
    if token is not None:
        return _checked(token), False
    path = token_file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = secrets.token_urlsafe(32)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(fresh + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link fails where the name exists, so two servers that start at once agree on one token.
        path.hardlink_to(draft)
    except FileExistsError:
        return _checked(read_admin_token() or ""), False
    finally:
        draft.unlink(missing_ok=True)
    return fresh, True


def read_worker_token() -> str | None:
    """Return the built-in worker token from the environment, None if there is none.

    Raises:
        InvalidInput: it is too short, repeats few characters, or has some that no header can carry.
    """
    token = os.environ.get(WORKER_VARIABLE)
    if not token:
        return None
    if len(token) < _STRONG or len(set(token)) < _SHORTEST or not _fits_header(token):
        raise InvalidInput(
            f"the worker token ({WORKER_VARIABLE}) needs at least {_STRONG} random printable ASCII "
            "characters without spaces, such as `openssl rand -hex 24` prints"
        )
    return token


def read_worker_project() -> str | None:
    """Return the project of the built-in worker token from the environment, None for all."""
    return os.environ.get(PROJECT_VARIABLE) or None


def _checked(token: str) -> str:
    if len(token) < _SHORTEST or not _fits_header(token):
        raise InvalidInput(
            f"the admin token ({TOKEN_VARIABLE} or {token_file()}) needs at least {_SHORTEST} "
            "printable ASCII characters without spaces"
        )
    return token


def _fits_header(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def token_source() -> str:
    """Say where the admin token is found: the environment variable or the file."""
    return TOKEN_VARIABLE if os.environ.get(TOKEN_VARIABLE) else str(token_file())
