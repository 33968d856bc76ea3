"""What runs, and where its code lies."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")


@dataclass(frozen=True, kw_only=True)
class What:
    """A program whose code is recorded: a task, an entrypoint, a command, or a loop of one's own.

    Args:
        words: the task's or entrypoint's name, or the command's words.
        folder: the working directory, in which modules and scripts are looked for.
    """

    kind: Literal["task", "entrypoint", "command", "loop"]
    words: tuple[str, ...]
    folder: Path

    @classmethod
    def of_run(cls, run: object, folder: Path) -> What:
        """Read a study's `run` section; what is none of these is somebody's own loop."""
        section: Mapping[str, Any] = run if isinstance(run, Mapping) else {}
        command = section.get("command")
        if isinstance(section.get("task"), str):
            return cls(kind="task", words=(section["task"],), folder=folder)
        if isinstance(section.get("entrypoint"), str):
            return cls(kind="entrypoint", words=(section["entrypoint"],), folder=folder)
        if isinstance(command, Sequence) and not isinstance(command, str):
            words = (word for one in command for word in ([one] if isinstance(one, str) else one))
            return cls(kind="command", words=tuple(map(str, words)), folder=folder)
        return cls(kind="loop", words=tuple(sys.argv[:1]), folder=folder)

    @property
    def python(self) -> str:
        """The interpreter that runs it: a command's own, if its first word is one."""
        if self.kind == "command" and self.words and _PYTHON.fullmatch(Path(self.words[0]).name):
            return shutil.which(self.words[0]) or sys.executable
        return sys.executable

    def places(self) -> tuple[Path, ...]:
        """Return the files and folders that hold its code; none if they can't be told.

        Nothing is imported.
        """
        if self.kind == "task":
            return (Path(__file__).resolve().parent.parent,)
        if self.kind == "entrypoint":
            return _module_places(self.words[0].partition(":")[0], self.folder)
        if self.kind == "loop":
            scripts = (self.folder / word for word in self.words)
            ours = os.path.realpath(sys.prefix) + os.sep
            found = (path.resolve() for path in scripts if path.is_file())
            return tuple(path for path in found if not str(path).startswith(ours))
        if "-m" in self.words[:-1]:
            module = self.words[self.words.index("-m") + 1]
            if places := _module_places(module, self.folder):
                return places
        files = (self.folder / word for word in self.words)
        return tuple(path.resolve() for path in files if path.is_file() and _is_code(path))


def _is_code(path: Path) -> bool:
    return path.suffix in (".py", ".sh", ".lua", ".jl", ".r", ".R", "") and not _is_program(path)


def _is_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return True


def _module_places(module: str, folder: Path) -> tuple[Path, ...]:
    """Return the top-level module's file, or its package's folders."""
    top = module.partition(".")[0]
    here = importlib.machinery.PathFinder.find_spec(top, [str(folder)])
    try:
        spec = here or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ()
    if spec is None:
        return ()
    if spec.submodule_search_locations:
        return tuple(Path(one).resolve() for one in spec.submodule_search_locations)
    return (Path(spec.origin).resolve(),) if spec.origin and Path(spec.origin).is_file() else ()
