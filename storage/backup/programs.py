"""PostgreSQL's own programs, run without a password on their command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, text

from tuner.errors import InvalidInput, Unavailable
from tuner.worker.linux import die_with_parent

LOCK_WAIT = "30s"
_LINES = 5


def require(program: str, connection: Connection) -> None:
    """Make sure that a program is there and not older than the server.

    Raises:
        InvalidInput: it is missing or older.
    """
    number: str = connection.execute(text("SHOW server_version_num")).scalar_one()
    server, own = int(number) // 10_000, version(program)
    if own < server:
        raise InvalidInput(
            f"{program} is of version {own} and the server of version {server}: "
            f"install PostgreSQL's client programs of version {server} or newer"
        )


@cache
def version(program: str) -> int:
    """Return a program's major version. Raises InvalidInput if it is missing."""
    if shutil.which(program) is None:
        raise InvalidInput(
            f"{program} is missing: install PostgreSQL's client programs (Debian, Ubuntu: "
            "apt install postgresql-client) and put them on the PATH"
        )
    said = _completed([program, "--version"], os.environ)
    found = re.search(r"(\d+)(\.\d+|devel|beta|rc)", said.stdout)
    if found is None:
        raise InvalidInput(f"{program} does not say its version: {said.stdout or said.stderr}")
    return int(found[1])


def run(program: str, *args: str, url: URL | None = None) -> str:
    """Run a program to its end, on a database if one is given; return what it printed.

    Raises:
        Unavailable: it failed; the message holds its last words.
    """
    command, env = [program, *args], _english(os.environ)
    if url is not None:
        command += ["--no-password", f"--dbname={_conninfo(url)}"]
        env |= _secrets(url)
    done = _completed(command, env)
    if done.returncode != 0:
        words = "; ".join(done.stderr.strip().splitlines()[-_LINES:])
        raise Unavailable(f"{program} failed: {words or f'exit code {done.returncode}'}")
    return done.stdout


def _english(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment whose programs say what is wrong in English, in the same encoding."""
    kept = {name: value for name, value in env.items() if name not in ("LC_ALL", "LANGUAGE")}
    encoding = {"LC_CTYPE": env["LC_ALL"]} if env.get("LC_ALL") else {}
    return kept | encoding | {"LC_MESSAGES": "C"}


def _completed(command: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a program that dies with us: a restore must not go on without the owner's lock."""
    leave = partial(die_with_parent, os.getpid()) if sys.platform == "linux" else None
    return subprocess.run(  # noqa: S603 - a fixed program, without a shell
        command, env=env, capture_output=True, text=True, check=False,
        preexec_fn=leave,
    )  # fmt: skip


def _arguments(url: URL) -> dict[str, object]:
    _, found = url.get_dialect()().create_connect_args(url)
    return dict(found)


def _conninfo(url: URL) -> str:
    found = _arguments(url)
    found.pop("password", None)
    return make_conninfo("", **{k: str(v) for k, v in found.items()})


def _secrets(url: URL) -> Mapping[str, str]:
    password = _arguments(url).get("password")
    wait = f"{os.environ.get('PGOPTIONS', '')} -c lock_timeout={LOCK_WAIT}"
    return {"PGOPTIONS": wait.strip()} | ({} if password is None else {"PGPASSWORD": str(password)})
