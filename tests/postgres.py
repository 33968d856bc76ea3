"""A PostgreSQL server of the tests' own: no root, no fixed port, gone when its owner is gone."""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import psycopg
from psycopg import sql

READY_SECONDS = 60.0
STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02
_PORT_TRIES = 5
_PREFIX = "tuner-postgres-"


class PostgresError(RuntimeError):
    """The server programs are missing, or the server did not start."""


class Postgres:
    """Own one PostgreSQL server: a context manager that starts it and leaves nothing behind.

    The port, the data and the password outlive `stop`, `kill` and `restart`; `close` removes them.
    On Linux the kernel ends the server with the thread that started it, so that not even a
    SIGKILL of the test run leaves one running; the next run removes its data. Start and restart
    it from a thread that lives on.
    """

    def __init__(self, *, durable: bool = False, settings: dict[str, str] | None = None) -> None:
        """Prepare the data folder.

        Args:
            durable: Write through to the disk as in production (fsync); slow.
            settings: Further server settings, by PostgreSQL's names.
        """
        self._programs = server_programs()
        self._account = _account()
        self._password = secrets.token_hex(16)
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        _remove_orphans()
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._owned = _own(self.folder)
        try:
            self._initdb()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        try:
            self._start_on_some_port()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Return the process id of the running server."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the server and wait until it takes connections.

        Raises:
            PostgresError: It ended or took longer than `READY_SECONDS`; its log is in the message.
        """
        if self._process is not None:
            raise PostgresError("the server is running already")
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        options = {**self._settings, "port": str(self.port)}
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "QUIT", "--", *command]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._account,
            )
        self._wait_until_ready()

    def stop(self) -> None:
        """Shut the server down in fast mode: connections are cut, the data is complete on disk."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Shut the server down in immediate mode, as a crash would: it recovers at next start."""
        self._signal(signal.SIGQUIT)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop (or kill) the server and start it on the same port."""
        if immediate:
            self.kill()
        else:
            self.stop()
        self.start()

    def close(self) -> None:
        """Kill the server where it runs and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._owned.close()

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of a database on this server."""
        return f"postgresql+psycopg://tuner:{self._password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, folder: Path | None = None) -> str:
        """Create an empty database and return its name.

        With `folder`, one from `new_folder`, its tables lie there.
        """
        name = f"t{secrets.token_hex(8)}"
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if folder is not None:
            place = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
            self._execute(place.format(sql.Identifier(name), sql.Literal(str(folder))))
            create += sql.SQL(" TABLESPACE {}").format(sql.Identifier(name))
        self._execute(create)
        return name

    def new_folder(self) -> Path:
        """Make an empty folder that the server may write to; it goes with the server's data."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        if "user" in self._account:
            os.chown(folder, self._account["user"], self._account["group"])
        return folder

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting its connections, and its tablespace if it has one."""
        for what, how in (("DATABASE", " WITH (FORCE)"), ("TABLESPACE", "")):
            drop = sql.SQL(f"DROP {what} IF EXISTS {{}}{how}")
            self._execute(drop.format(sql.Identifier(name)))

    def log(self) -> str:
        """Return the end of the server's log."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="tuner",
            password=self._password,
            dbname="postgres",
            autocommit=True,
            connect_timeout=10,
        )

    def _execute(self, statement: sql.Composed) -> None:
        with self._connect() as connection:
            connection.execute(statement)

    def _initdb(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self._password)
        if "user" in self._account:
            for path in (self.folder, password_file):
                os.chown(path, self._account["user"], self._account["group"])
        command = [str(self._programs / "initdb"), "--pgdata", str(self.folder / "data")]
        command += ["--username=tuner", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        ran = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, check=False, **self._account
        )
        if ran.returncode != 0:
            raise PostgresError(f"initdb failed: {ran.stdout}{ran.stderr}")

    def _start_on_some_port(self) -> None:
        for left in reversed(range(_PORT_TRIES)):
            try:
                self.start()
            except PostgresError:
                if not left or "Address already in use" not in self.log():
                    raise
                self.port = _free_port()
            else:
                return

    def _wait_until_ready(self) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + READY_SECONDS
        while process.poll() is None:
            try:
                self._connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    break
                time.sleep(_POLL_SECONDS)
            else:
                return
        self.kill()
        raise PostgresError(f"the server did not start on port {self.port}:\n{self.log()}")

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def server_programs() -> Path:
    """Return the folder of `initdb` and `postgres`, the newest where there are several.

    Raises:
        PostgresError: There is none.
    """
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(found, key=lambda path: int(path.parts[-3].split(".")[0]), default=None)
    if newest is None:
        raise PostgresError("no initdb on the path nor under /usr/lib/postgresql: make postgres")
    return newest.parent


def _account() -> dict[str, Any]:
    """Return whom to run as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresError("PostgreSQL refuses root, and there is no user postgres or nobody")


def _own(folder: Path) -> TextIO:
    """Mark the folder as in use: the lock under its final name is held until this process ends."""
    draft = folder / "owner.draft"
    lock = draft.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    draft.rename(folder / "owner")
    return lock


def _remove_orphans() -> None:
    """Remove the folders of owners that were killed."""
    for lock_file in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/owner"):
        with suppress(OSError), lock_file.open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock_file.parent, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
