"""CPU seconds of process trees, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def trees(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of each named process, its living and its reaped descendants."""
    spent: dict[int, float] = {}
    parent: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(folder.name)
        parent[pid] = int(fields[1])
        # utime, stime and, of children that were waited for, cutime and cstime (proc(5)).
        spent[pid] = sum(map(int, fields[11:15])) / _TICKS
    return {
        name: sum(s for pid, s in spent.items() if _descends(pid, root, parent))
        for name, root in roots.items()
    }


def _descends(pid: int, root: int, parent: Mapping[int, int]) -> bool:
    while pid > 1:
        if pid == root:
            return True
        pid = parent.get(pid, 0)
    return False
