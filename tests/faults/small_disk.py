"""A folder on a disk that can be filled: a small file system where one may be mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PIECES = (1 << 20, 1 << 12, 1)


def may_mount() -> bool:
    """Tell whether this process may mount a file system."""
    with tempfile.TemporaryDirectory(prefix="tuner-disk-") as folder, _mounted(Path(folder), 64):
        return os.path.ismount(folder)


class SmallDisk:
    """A file system in memory, mounted at a folder.

    Args:
        folder: an empty one; its owner stays the same.
        kilobytes: its size.
    """

    def __init__(self, folder: Path, kilobytes: int) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        self._kilobytes = kilobytes
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> SmallDisk:
        owner = self.folder.stat()
        self._stack.enter_context(_mounted(self.folder, self._kilobytes))
        os.chown(self.folder, owner.st_uid, owner.st_gid)
        self.folder.chmod(0o700)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def fill(self) -> None:
        """Write until not a byte fits."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in _PIECES:
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink(missing_ok=True)


@contextlib.contextmanager
def _mounted(folder: Path, kilobytes: int) -> Iterator[None]:
    program = shutil.which("mount") or "false"
    mount = [program, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
