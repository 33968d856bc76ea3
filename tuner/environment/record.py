"""The record of an attempt's environment: collected once, and again where something changed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuner.environment import machine as machines
from tuner.environment import packages
from tuner.environment.code import CodeWatcher, line
from tuner.environment.program import What
from tuner.secrets import Masker
from tuner.wire.environments import GivenCode, GivenMachine, Part, RecordEnvironment

_MOST_WORDS, _LONGEST_WORD = 500, 2000


@dataclass(frozen=True, kw_only=True)
class Parts:
    """An environment: the machine, and the two parts it names by their digests."""

    machine: GivenMachine
    packages: Mapping[str, str]
    code: GivenCode

    def message(self, attempt: int, parts: frozenset[Part] | None = None) -> RecordEnvironment:
        """Return what is sent for an attempt, with all parts or those named."""
        wanted: frozenset[Part] = frozenset(("packages", "code")) if parts is None else parts
        return RecordEnvironment(
            attempt=attempt,
            machine=self.machine,
            packages=dict(self.packages) if "packages" in wanted else None,
            code=self.code if "code" in wanted else None,
        )


class Recorder:
    """Collects environments. Safe for threads; a call may take seconds, so keep it off hot paths.

    Args:
        worker: the worker's name, '' outside of one.
    """

    def __init__(self, worker: str = "") -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._watcher = CodeWatcher()
        self._packages: dict[str, tuple[str, dict[str, str]]] = {}

    def record(self, what: What, variables: Mapping[str, str] | None = None) -> Parts:
        """Return the environment in which a program would start now.

        Args:
            what: the program.
            variables: the environment it gets; this process's by default.
        """
        with self._lock:
            version, found = self._packages_of(what.python)
            code = self._watcher.state(what)
        environment = os.environ if variables is None else variables
        gpus = machines.gpus()
        machine = GivenMachine(
            tuner=line(machines.tuner_version()),
            python=line(version),
            executable=line(what.python),
            host=line(platform.node() or "host"),
            os=line(platform.platform()),
            cpu=line(machines.processor()),
            cores=machines.cores(),
            gpus=[line(name) for name in gpus.names],
            devices=machines.devices(environment, gpus.uuids),
            driver=line(gpus.driver),
            cuda=line(gpus.cuda),
            worker=line(self._worker),
            program=_program(what),
            variables=machines.variables(environment),
            packages=digest_of(found),
            code=digest_of(code.model_dump(mode="json")),
        )
        return Parts(machine=machine, packages=found, code=code)

    def _packages_of(self, executable: str) -> tuple[str, dict[str, str]]:
        if executable not in self._packages:
            other = packages.installed_for(executable)
            here = platform.python_version(), packages.installed()
            self._packages[executable] = here if other is None else other
        return self._packages[executable]


def digest_of(part: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a part's canonical JSON: keys sorted, no spaces."""
    text = json.dumps(part, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _program(what: What) -> list[str]:
    masker = Masker.of(os.environ)
    words = [masker.mask_code(word)[0] for word in what.words]
    if what.kind == "loop":
        words = [Path(word).name for word in words]
    return [line(word, longest=_LONGEST_WORD) for word in words[:_MOST_WORDS]]
