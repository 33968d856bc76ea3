"""The state of a program's code: a commit with its differences, or hashes of files."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tuner.environment import git
from tuner.environment.git import GitFailed, Status
from tuner.environment.program import What
from tuner.secrets import Masker
from tuner.wire.environments import LONGEST_DIFF, MOST_FILES, GivenCode

_LARGEST = 10 * 1024 * 1024
_LONGEST_PATH = 500
_UNTELLABLE = re.compile("[\\0\\ud800-\\udfff]")
_SHARE = 20.0
"""A look at a working tree that took t seconds is repeated after as many times t at the soonest."""


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What was found, under which signs, and until when it need not be looked at again."""

    signs: object
    code: GivenCode
    until: float


class CodeWatcher:
    """Tells the state of a program's code; what did not change is not read again.

    Each call looks at the working tree (`git status`, or the files' times); only when that changed
    are the diff and the files read. Not safe for threads.
    """

    def __init__(self) -> None:
        self._seen: dict[What, _Seen] = {}
        self._roots: dict[What, Path | None] = {}

    def state(self, what: What) -> GivenCode:
        """Return the state of a program's code now."""
        before, began = self._seen.get(what), time.monotonic()
        if before is not None and (what.kind == "task" or began < before.until):
            return before.code
        root = self._root(what)
        began = time.monotonic()
        signs, code = _look(what, root, before)
        until = time.monotonic() + _SHARE * (time.monotonic() - began)
        self._seen[what] = _Seen(signs=signs, code=code, until=until)
        return code

    def _root(self, what: What) -> Path | None:
        if what not in self._roots:
            places = what.places() or (what.folder.resolve(),)
            self._roots[what] = next(filter(None, map(git.root_of, places)), None)
        return self._roots[what]


def _look(what: What, root: Path | None, before: _Seen | None) -> tuple[object, GivenCode]:
    if root is None:
        return _files_state(what, before)
    try:
        status = git.status(root)
        signs = (status, _times(root, (*status.changed, *_python(status.untracked))))
        if before is not None and before.signs == signs:
            return signs, before.code
        return signs, _git_state(what, root, status)
    except GitFailed as exc:
        return None, GivenCode(kind="none", root=line(str(root)), note=line(f"git: {exc}"))


def _git_state(what: What, root: Path, status: Status) -> GivenCode:
    whole = git.diff(root) if status.changed and status.commit else ""
    masker = Masker.of(os.environ)
    text, masked = masker.mask_code(line(whole, len(whole)))
    remote, _ = masker.mask_code(git.remote_url(root) or "")
    files, note = hashes(root, _python(status.untracked))
    if len(text) > LONGEST_DIFF:
        note = _also(note, f"the diff is cut: the first {LONGEST_DIFF} of {len(text)} characters")
    return GivenCode(
        kind="git",
        root=line(str(root)),
        folder=line(_below(what.folder, root)),
        commit=status.commit,
        branch=None if status.branch is None else line(status.branch),
        remote=line(remote) or None,
        diff=text[:LONGEST_DIFF],
        diff_size=len(text),
        masked=masked,
        files=files,
        note=line(note),
    )


def _files_state(what: What, before: _Seen | None) -> tuple[object, GivenCode]:
    places = what.places()
    if not places:
        why = f"no code was found for {' '.join(what.words) or 'this program'}"
        return None, GivenCode(kind="none", note=line(Masker.of(os.environ).mask_code(why)[0]))
    root = Path(os.path.commonpath([p if p.is_dir() else p.parent for p in places]))
    names = sorted({_below(file, root) for place in places for file in _sources(place)})
    signs = (root, tuple(names), _times(root, names))
    if before is not None and before.signs == signs:
        return signs, before.code
    files, note = hashes(root, names)
    folder = line(_below(what.folder, root))
    code = GivenCode(
        kind="files", root=line(str(root)), folder=folder, files=files, note=line(note)
    )
    return signs, code


def _sources(place: Path) -> Iterator[Path]:
    """Yield a file itself, or a package's Python files."""
    if not place.is_dir():
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name != "__pycache__" and name[0] != "."]
        yield from (Path(folder, name) for name in names if name.endswith(".py"))


def hashes(root: Path, names: Iterable[str]) -> tuple[dict[str, str], str]:
    """Return the SHA-256 of files below `root`, and a note on those left out."""
    found: dict[str, str] = {}
    left = 0
    for name in sorted(names):
        digest = file_hash(root / name) if len(name) <= _LONGEST_PATH else None
        if digest is None or len(found) >= MOST_FILES:
            left += 1
        else:
            found[line(name)] = digest
    return found, f"{left} files are left out" if left else ""


def file_hash(path: Path) -> str | None:
    """Return a file's SHA-256; None if it can't be read or is larger than 10 MiB."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _LARGEST:
                return None
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def line(text: str, longest: int = _LONGEST_PATH) -> str:
    """Return a text as it may be sent: short, and without what JSON or SQL can't hold."""
    return _UNTELLABLE.sub("\N{REPLACEMENT CHARACTER}", text)[:longest]


def _python(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name.endswith((".py", ".pyi", ".ipynb")))


def _times(root: Path, names: Iterable[str]) -> tuple[tuple[int, int] | None, ...]:
    return tuple(_time(root / name) for name in names)


def _time(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size


def _below(path: Path, root: Path) -> str:
    try:
        return str(path.resolve().relative_to(root))
    except ValueError:
        return str(path)


def _also(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
