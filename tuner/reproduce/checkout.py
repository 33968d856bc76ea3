"""The recorded code in a folder of its own: a git worktree with the recorded changes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tuner.environment.code import file_hash
from tuner.environment.git import GitFailed, git, has_commit
from tuner.errors import Conflict, InvalidInput, TunerError
from tuner.wire import Code

_TIMEOUT_S = 600.0


def checkout(code: Code, repository: Path, target: Path) -> list[str]:
    """Make `target` a worktree of the recorded commit, with the recorded changes applied.

    Files that git did not track are copied from the repository where they are still as recorded.

    Args:
        code: what was recorded.
        repository: a folder within a clone that has the commit.
        target: a folder that does not exist yet.

    Returns:
        The recorded files that could not be had.

    Raises:
        Conflict: `target` exists.
        InvalidInput: no commit was recorded, it is not in the clone, or the diff is not whole.
        TunerError: git refuses.
    """
    _check(code, repository, target)
    assert code.commit is not None
    target = target.absolute()
    try:
        root = Path(git(repository, "rev-parse", "--show-toplevel").decode().strip())
        git(root, "worktree", "add", "--detach", str(target), code.commit, timeout=_TIMEOUT_S)
    except GitFailed as exc:
        raise TunerError(f"git made no worktree: {exc}") from exc
    if code.diff:
        _apply(code, root, target)
    return [name for name, digest in code.files.items() if not _copied(root, target, name, digest)]


def _check(code: Code, repository: Path, target: Path) -> None:
    if code.kind != "git" or code.commit is None:
        raise InvalidInput("no commit was recorded: there is nothing to check out")
    if target.exists():
        raise Conflict(f"{target} exists: name a folder that does not")
    if code.diff_size > len(code.diff):
        raise InvalidInput(
            f"the recorded changes are cut ({len(code.diff)} of {code.diff_size} characters): the "
            "code can't be restored"
        )
    if not has_commit(repository, code.commit):
        origin = f" from {code.remote}" if code.remote else ""
        raise InvalidInput(
            f"{repository} is no clone that has the commit {code.commit}: fetch it{origin}, and "
            "run this within the clone"
        )


def _apply(code: Code, root: Path, target: Path) -> None:
    try:
        git(target, "apply", "--whitespace=nowarn", "-", text=code.diff.encode())
    except GitFailed as exc:
        with suppress(GitFailed):
            git(root, "worktree", "remove", "--force", str(target))
        why = f"; {code.masked} secrets in them were masked" if code.masked else ""
        raise InvalidInput(f"the recorded changes don't apply: {exc}{why}") from exc


def _copied(root: Path, target: Path, name: str, digest: str) -> bool:
    source, place = root / name, (target / name).resolve()
    if not place.is_relative_to(target.resolve()) or file_hash(source) != digest:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, place)
    return True
