"""Serving: from command-line values to a listening server, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.types import ASGIApp

from api.app import create_app, program_version
from api.credentials import worker_token
from api.limits.files import make_room
from api.limits.handshake import loop_factory
from api.limits.protocol import protocol
from api.limits.settings import Limits, read_quotas
from api.observe import logs
from api.observe.metrics import Metrics
from api.observe.tracing import open_tracing
from api.reach import check_reach, tls_context
from api.settings import Settings, Tls
from api.standby import NOBODY, Front, take_turn
from storage import Ledger
from storage.engine import database_url
from storage.stores import folder_at, is_url
from tuner import home
from tuner.cli.exits import with_cause
from tuner.errors import InvalidInput, TunerError

_BACKLOG = 2048
_LOOK_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(
    *,
    db: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8700,
    behind_proxy: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    tls: Tls | None = None,
    webhook_hosts: tuple[str, ...] = (),
    artifacts: str | Path | None = None,
    artifact_endpoint: str | None = None,
    direct: bool = True,
    standby: bool = False,
    lease_s: float = 30.0,
    heartbeat_s: float = 10.0,
    sweep_s: float = 5.0,
    limits: Mapping[str, Any] | None = None,
    quotas: Sequence[str] = (),
    log_format: logs.LogFormat = "text",
    log_level: logs.LogLevel = "info",
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, store it, and return.

    The database is a SQLite file in the user's data folder by default; artifacts lie beside a
    SQLite file, else in the data folder, or in the store whose URL `artifacts` is. Port 0 takes a
    free one; the one taken is printed. What is written is readable by this user alone. With
    `standby`, a server that meets another one on its database waits until that one is gone.
    `limits` are fields of `Limits`; `quotas` are of the form `PROJECT:KIND=N`.

    Raises:
        SystemExit: with 1 and one sentence on standard error if it can't start.
    """
    os.umask(0o077)
    logs.configure(log_format, log_level)
    try:
        url = db or home.database_url()
        check_reach(host, behind_proxy=behind_proxy, tls=tls)
        if tls is not None:
            tls_context(tls)
        chosen = Limits(**(limits or {}), quotas=read_quotas(quotas))
        chosen = replace(chosen, connections=make_room(chosen.connections))
        store = str(artifacts) if artifacts is not None and is_url(str(artifacts)) else None
        folder = artifact_folder(url) if store or artifacts is None else folder_at(artifacts)
        folder = folder.absolute()
        if db is None:
            home.folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        by_database = store is not None or artifacts is None
        own = home.folder().resolve()
        if by_database and folder.parent.resolve() != own and not folder.parent.is_dir():
            raise InvalidInput(f"the folder {folder.parent} does not exist")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with listening(host, port) as listener:
            token, fresh = home.make_token()
            settings = Settings(
                db_url=url,
                artifact_dir=folder,
                artifact_url=store,
                artifact_endpoint=artifact_endpoint,
                direct=direct,
                admin_token=token,
                worker_token=worker_token(token),
                host=host,
                allowed_hosts=allowed_hosts,
                behind_proxy=behind_proxy,
                tls=tls,
                webhook_hosts=webhook_hosts,
                lease_s=lease_s,
                heartbeat_s=heartbeat_s,
                sweep_s=sweep_s,
                keep_alive_s=max(75.0, 3 * heartbeat_s),
                limits=chosen,
            )
            with asyncio.Runner(loop_factory=loop_factory(chosen.header_s)) as runner:
                runner.run(run(settings, listener, fresh=fresh, standby=standby))
    except KeyboardInterrupt:
        sys.exit(130)
    except TunerError as exc:
        sys.exit(f"error: {with_cause(exc)}")
    except OSError as exc:
        sys.exit(f"error: {exc}")


def artifact_folder(db_url: str) -> Path:
    """Return the folder for artifacts: beside an SQLite file, else in the user's data folder.

    There each database has one of its own, whose name is that of no SQLite file's.

    Raises:
        InvalidInput: the URL names no database we know.
    """
    url = database_url(db_url)
    if url.database is None or url.get_backend_name() != "sqlite":
        return home.folder() / f"{quote(url.database or '', safe='')}.artifacts"
    file = Path(url.database)
    return file.with_name(f"{file.stem}-artifacts")


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a listening socket.

    Raises:
        InvalidInput: the address can't be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, UnicodeError) as exc:
        raise InvalidInput(_why_not(exc, host, port)) from exc
    with listener:
        yield listener


def _why_not(exc: Exception, host: str, port: int) -> str:
    code = exc.errno if isinstance(exc, OSError) else None
    if code == errno.EADDRINUSE:
        return f"port {port} is taken by another program; choose another with --port"
    if code == errno.EACCES:
        return f"port {port} needs more rights; choose one above 1023 with --port"
    return f"can't listen on {host!r}, port {port}"


async def run(
    settings: Settings, listener: socket.socket, *, fresh: bool, standby: bool = False
) -> None:
    """Run the server on a listening socket until it is told to stop.

    Raises:
        OwnerLost: another server owns the database, unless this one is a standby; or took it over.
        TunerError: the database can't be used.
    """
    metrics, tracing = Metrics(program_version()), open_tracing(os.environ, program_version())
    app = create_app(settings, metrics=metrics, tracing=tracing)
    front = Front(settings, metrics)
    server = _Server(_config(front, settings, metrics), front)
    async with contextlib.AsyncExitStack() as owned:
        if tracing is not None:
            owned.push_async_callback(asyncio.to_thread, tracing.close)

        async def open_it() -> None:
            # Entered here and not by uvicorn, so that its errors arrive as they are.
            await owned.enter_async_context(app.router.lifespan_context(app))
            front.open(app)
            _set_up_interpreter()

        if not standby:
            await open_it()
        with _calling(server.handle_exit):
            say(settings, listener, fresh=fresh)
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                if standby and await take_turn(
                    settings.db_url, open_it, front=front, ended=serving, say=_say
                ):
                    after = "" if front.holder == NOBODY else f", after {front.holder}"
                    _say(f"owns the database now{after}")
                if front.services is not None:
                    await _until_lost(front.services.ledger, serving)
            finally:
                server.handle_exit(signal.SIGTERM, None)
                await serving


def _set_up_interpreter() -> None:
    """Spare the collector what stays, and let the thread that commits have its turn at once.

    At Python's own switch interval of 5 ms a commit waits for that long, at each answer of the
    database, while the event loop is busy.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(0.0005)


async def _until_lost(ledger: Ledger, serving: asyncio.Task[None]) -> None:
    """Return when the server has ended.

    Raises:
        OwnerLost: another one took the database over.
    """
    while not serving.done():
        if ledger.lost is not None:
            raise ledger.lost
        await asyncio.wait([serving], timeout=_LOOK_S)


@contextlib.contextmanager
def _calling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call `handler` on the event loop for each signal that asks to stop."""
    loop = asyncio.get_running_loop()
    for sig in _SIGNALS:
        loop.add_signal_handler(sig, handler, sig, None)
    try:
        yield
    finally:
        for sig in _SIGNALS:
            loop.remove_signal_handler(sig)


def _config(app: ASGIApp, settings: Settings, metrics: Metrics) -> uvicorn.Config:
    tls = settings.tls
    return uvicorn.Config(
        app,
        lifespan="off",
        http=protocol(settings.limits, metrics.refused),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_context_factory=None if tls is None else lambda *_: tls_context(tls),
        timeout_keep_alive=int(settings.keep_alive_s),
        timeout_graceful_shutdown=int(settings.drain_s),
    )


class _Server(uvicorn.Server):
    """Ends long polls when it is told to stop, and returns instead of raising the signal again."""

    def __init__(self, config: uvicorn.Config, front: Front) -> None:
        super().__init__(config)
        self._front = front

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they are handled from before the start until after the end."""
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second Ctrl-C doesn't wait for requests under way."""
        self._front.close()
        super().handle_exit(sig, frame)


def say(settings: Settings, listener: socket.socket, *, fresh: bool) -> None:
    """Print where the server listens, its database, and where its token is."""
    address, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls is None else "https"
    print(f"tuner listens on {scheme}://{_shown(address)}:{port}")
    print(f"database: {database_url(settings.db_url).render_as_string(hide_password=True)}")
    if settings.artifact_url is not None:
        print(f"artifacts: {settings.artifact_url}")
    if fresh:
        print(f"admin token: {settings.admin_token}")
        print(f"It is kept in {home.token_file()}, readable by you alone, and not shown again.")
    else:
        print(f"admin token: as before ({home.token_source()})")
    if (worker := settings.worker_token) is not None:
        whose = "all projects" if worker.project is None else f"project {worker.project}"
        print(f"worker token: as in {home.WORKER_VARIABLE}, for {whose}")
    sys.stdout.flush()


def _say(line: str) -> None:
    print(line, flush=True)


def _shown(address: str) -> str:
    ip = ipaddress.ip_address(address)
    if ip.is_unspecified:
        return "localhost"
    return f"[{ip}]" if ip.version == 6 else str(ip)
