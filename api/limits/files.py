"""Open files: a connection is one, and beside them the database and checkpoints need theirs."""

from __future__ import annotations

import logging
import resource

OTHERS = 256
"""Files that are no connections: the database, checkpoints under way, what libraries open."""
_LEAST = 16
_log = logging.getLogger(__name__)


def make_room(connections: int) -> int:
    """Let this process open files for so many connections; return how many there may be.

    The system's hard limit stands; where it leaves fewer connections, the log says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if most > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):  # some systems have a limit beside
            most = soft
    if most >= wanted:
        return connections
    room = max(_LEAST, most - OTHERS)
    _log.warning(
        "this process may open %d files: it takes %d connections, not %d", most, room, connections
    )
    return room
