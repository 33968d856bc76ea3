"""A ledger for synchronous callers: its event loop runs in a thread, shared within a process."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from storage.calls import Command
from storage.engine import database_url
from storage.ledger import Ledger
from storage.memory import Memory
from storage.open import run_ledger
from storage.sql_store import SqlStore
from tuner.errors import OwnerLost, Unavailable

T = TypeVar("T")
P = ParamSpec("P")


class BackgroundLedger:
    """A ledger that any thread may write to, and that knows all studies as Optuna sees them.

    It lives until it is closed, its last holder forgets it, or the process ends.
    """

    def __init__(self, url: str) -> None:
        """Own a database. Raises what `open_ledger` raises."""
        self._pid = os.getpid()
        self._server = _Server(url)
        self._ledger = self._server.start()
        weakref.finalize(self, self._server.stop).atexit = False

    @property
    def usable(self) -> bool:
        """Whether it is open, and of this process rather than of the one it was forked from."""
        return not self._server.stopping and self._pid == os.getpid()

    @property
    def memory(self) -> Memory:
        """What is committed; to be read only. Raises OwnerLost in a forked process."""
        self._check_process()
        return self._ledger.memory

    @property
    def thread(self) -> threading.Thread:
        """The thread, which ends when the database is given back."""
        return self._server.thread

    def write(self, command: Command[T]) -> T:
        """Run a command, wait for its commit and return its reply. Raises as `Ledger.write`."""
        self._check_process()
        return self._server.submit(self._ledger, command).result()

    def close(self) -> None:
        """Commit what was handed in and give the database back."""
        self._check_process()
        self._server.stop()
        self.thread.join()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise OwnerLost(f"process {self._pid} owns this database, and this is a fork of it")


class _Server:
    """Runs the ledger. It doesn't refer to the `BackgroundLedger`, whose end stops it."""

    def __init__(self, url: str) -> None:
        self.stopping = False
        self.thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._url = url
        self._gate = threading.Lock()
        self._ready: Future[Ledger] = Future()

    def start(self) -> Ledger:
        self.thread.start()
        return self._ready.result()

    def submit(self, ledger: Ledger, command: Command[T]) -> Future[T]:
        """Hand a command in, before the stop if there is one."""
        with self._gate:
            if self.stopping:
                raise Unavailable("this storage is closed")
            return asyncio.run_coroutine_threadsafe(ledger.write(command), self._loop)

    def stop(self) -> None:
        with self._gate:
            if not self.stopping:
                self.stopping = True
                self._loop.call_soon_threadsafe(self._stopped.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:
            if self._ready.done():
                raise
            self._ready.set_exception(exc)

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        async with run_ledger(lambda: SqlStore(self._url, optuna=True), _InPlace()) as ledger:
            self._ready.set_result(ledger)
            await self._stopped.wait()


class _InPlace(Executor):
    """Runs at once what it is given: commands gather while the loop's thread is at it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as exc:
            future.set_exception(exc)
        return future


_opening = threading.Lock()
_shared: weakref.WeakValueDictionary[str, BackgroundLedger] = weakref.WeakValueDictionary()
_threads: dict[str, threading.Thread] = {}


def shared_ledger(url: str) -> BackgroundLedger:
    """Return this process's ledger of a database, opened if it is not open.

    Raises:
        InvalidInput: the URL names no database we can use.
        OwnerLost: another process owns it.
        SchemaMismatch: its tables are those of another version.
        Unavailable: it does not answer.
    """
    key = _address(url)
    with _opening:
        ledger = _shared.get(key)
        if ledger is None or not ledger.usable:
            if key in _threads:
                _threads[key].join()
            ledger = _shared[key] = BackgroundLedger(key)
            _threads[key] = ledger.thread
        return ledger


def _address(url: str) -> str:
    """Return one spelling for all URLs of a database."""
    return database_url(url).render_as_string(hide_password=False)


@atexit.register
def _close_all() -> None:
    for ledger in tuple(_shared.values()):
        if ledger.usable:
            ledger.close()
