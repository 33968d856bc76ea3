"""The demo: a server on an empty database, two workers, one study, and what came out of it."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer

from tuner.cli.exits import FAILURE
from tuner.cli.summary import summary
from tuner.cli.watch import no_success
from tuner.client import Client, StudyHandle
from tuner.client.progress import ProgressLine
from tuner.errors import TunerError
from tuner.spec import load

Say = Callable[[str], None]

WORKERS = ("worker-1", "worker-2")
EXAMPLE = "digits-mlp.yaml"
_PACKAGE = Path(__file__).resolve().parents[1]
_START_S = 60.0
_STOP_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """A process the demo started, and the file that gets its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise what the process said if it has died."""
        code = self.process.poll()
        if code is not None:
            tail = self.log.read_text(errors="replace").strip().splitlines()[-15:]
            message = f"the {self.name} ended with code {code} (log: {self.log})"
            raise TunerError("\n  ".join([message, *tail]))

    def stop(self) -> None:
        """End the process: ask, then insist."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def example(name: str = EXAMPLE) -> Path:
    """Return the path of an example study: in the wheel, or in a checkout."""
    bundled = _PACKAGE / "_examples" / name
    return bundled if bundled.is_file() else _PACKAGE.parent / "examples" / name


def run_demo(*, port: int, keep: bool, trials: int | None, say: Say) -> int:
    """Run the demo and return the exit code. All it starts it stops."""
    folder = Path(tempfile.mkdtemp(prefix="tuner-demo-"))
    database = f"sqlite:///{folder / 'tuner.db'}"
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    token = secrets.token_urlsafe(24)
    environment = {
        **os.environ,
        "TUNER_HOME": str(folder),
        "TUNER_ADMIN_TOKEN": token,
        "TUNER_URL": url,
        "TUNER_TOKEN": token,
        "OMP_NUM_THREADS": "1",
    }
    with ExitStack() as parts:
        say(f"Serving on {url}, database {folder / 'tuner.db'}")
        command = ["serve", "--db", database, "--port", str(port), "--log-level", "warning"]
        server = parts.enter_context(started("server", command, environment, folder))
        wait_until_ready(url, server)
        workers = [
            parts.enter_context(started(name, worker_command(folder, name), environment, folder))
            for name in WORKERS
        ]
        client = parts.enter_context(Client(url, token))
        study = client.submit(document(trials))
        say(f"Submitted {example().name} as study {study.id}; {len(WORKERS)} workers train it")
        follow(study, [server, *workers])
        typer.echo(summary(study))
        why = no_success(study.view)
        if why is not None:
            say(f"The demo failed: {why}; the logs are in {folder}")
        say(next_steps(database))
        if keep and why is None:
            serve_on(url, token, server, say)
    return FAILURE if why is not None else 0


def document(trials: int | None) -> dict[str, Any]:
    """Return the example study, with another number of trials if one is given."""
    spec = load(example()).model_dump(mode="json", exclude_unset=True)
    if trials is not None:
        spec["budget"]["trials"] = trials
    return spec


def worker_command(folder: Path, name: str) -> list[str]:
    """Return the command of a worker that keeps its files in the demo's folder."""
    files = ["--spool", str(folder / f"{name}-spool"), "--logs", str(folder / f"{name}-logs")]
    return ["worker", "--name", name, *files]


def follow(study: StudyHandle, parts: list[Part]) -> None:
    """Show progress until the study is over; fail if a part dies."""
    line = ProgressLine(sys.stderr)
    try:
        for view in study.watch(poll_s=0.5):
            line.show(view)
            for part in parts:
                part.check()
    finally:
        line.close()


def next_steps(database: str) -> str:
    """Say what can be done with the database now."""
    return (
        "\nThe database stays. Look at it with\n"
        f"  optuna-dashboard {database}      (pip install optuna-dashboard)\n"
        f"  tuner serve --db {database}"
    )


def serve_on(url: str, token: str, server: Part, say: Say) -> None:
    """Keep serving until Ctrl-C."""
    say(f"\nServing on until Ctrl-C: export TUNER_URL={url} TUNER_TOKEN={token}")
    try:
        while True:
            server.check()
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("")


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def started(
    name: str, command: list[str], environment: Mapping[str, str], folder: Path
) -> Iterator[Part]:
    """Start `tuner COMMAND` in a session of its own, and stop it in the end."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-m", "tuner", *command],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    part = Part(name=name, process=process, log=log)
    try:
        yield part
    finally:
        part.stop()


def wait_until_ready(url: str, server: Part) -> None:
    """Wait until the server answers.

    Raises:
        TunerError: it died, or did not answer within a minute.
    """
    deadline = time.monotonic() + _START_S
    with httpx.Client(trust_env=False, timeout=5.0) as http:
        while True:
            server.check()
            try:
                if http.get(f"{url}/readyz").is_success:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > deadline:
                raise TunerError(f"the server did not answer within {_START_S:g} s")
            time.sleep(0.1)
