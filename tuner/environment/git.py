"""Git, asked with a time limit and without any effect on the repository."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 10.0
_SAFE = (
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.quotePath=false",
    "-c", "color.ui=false",
)  # fmt: skip


class GitFailed(Exception):
    """Git said no, took too long, or is not there."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a working tree stands: `changed` and `untracked` are paths relative to its root."""

    commit: str | None
    branch: str | None
    changed: tuple[str, ...]
    untracked: tuple[str, ...]


def git(folder: Path, *arguments: str, timeout: float = TIMEOUT_S, text: bytes = b"") -> bytes:
    """Run git in a folder and return what it printed. Raises GitFailed."""
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(  # noqa: S603 (arguments of our own)
            ["git", *_SAFE, "-C", str(folder), *arguments],  # noqa: S607
            capture_output=True, timeout=timeout, check=True, env=environment, input=text,
        )  # fmt: skip
    except subprocess.CalledProcessError as exc:
        said = exc.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitFailed(said[-1] if said else f"git ended with {exc.returncode}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise GitFailed(str(exc)) from exc
    return done.stdout


def root_of(place: Path) -> Path | None:
    """Return the top of the working tree that tracks a file or folder, None if none does."""
    folder = place if place.is_dir() else place.parent
    try:
        root = Path(os.fsdecode(git(folder, "rev-parse", "--show-toplevel")).strip())
        if not git(folder, "ls-files", "--", str(place)).strip():
            return None
    except GitFailed:
        return None
    return root


def status(root: Path) -> Status:
    """Return where a working tree stands. Raises GitFailed."""
    told = git(root, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all")
    commit = branch = None
    changed: list[str] = []
    untracked: list[str] = []
    entries = iter(os.fsdecode(told).split("\0"))
    for entry in entries:
        kind, _, rest = entry.partition(" ")
        if entry.startswith("# branch.oid "):
            oid = entry.removeprefix("# branch.oid ")
            commit = None if oid.startswith("(") else oid
        elif entry.startswith("# branch.head "):
            head = entry.removeprefix("# branch.head ")
            branch = None if head.startswith("(") else head
        elif kind == "?":
            untracked.append(rest)
        elif kind in ("1", "2", "u"):
            # Fields before the path: 7 of an ordinary change, 8 of a rename, 9 unmerged.
            changed.append(rest.split(" ", {"1": 7, "2": 8, "u": 9}[kind])[-1])
            if kind == "2":
                changed.append(next(entries, ""))
    return Status(commit=commit, branch=branch, changed=tuple(changed), untracked=tuple(untracked))


def diff(root: Path) -> str:
    """Return what the tracked files differ by from the commit. Raises GitFailed."""
    told = git(root, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-renames",
               "--src-prefix=a/", "--dst-prefix=b/")  # fmt: skip
    return told.decode("utf-8", "replace")


def remote_url(root: Path) -> str | None:
    """Return where `origin` is."""
    try:
        return os.fsdecode(git(root, "remote", "get-url", "origin")).strip() or None
    except GitFailed:
        return None


def has_commit(folder: Path, commit: str) -> bool:
    """Tell whether a repository holds a commit."""
    try:
        git(folder, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitFailed:
        return False
    return True


def files_of(root: Path, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the tracked files that match. Raises GitFailed."""
    told = git(root, "ls-files", "-z", "--", *patterns)
    return tuple(name for name in os.fsdecode(told).split("\0") if name)
