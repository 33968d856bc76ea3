"""How the promises about the server and its database are broken on purpose.

Each row: the promise, the file, what stands there once, what takes its place, and the test that
must then fail. Several guards stand one behind the other; a mutation takes away as many as are
needed.
"""

from __future__ import annotations

_STORED = """\
        if not changes.empty:
            await self._store_durably(changes)
"""
_TOLD_BEFORE = """\
        if not changes.empty:
            for item in decided:
                answer(item)
            await asyncio.sleep(0.05)
            await self._store_durably(changes)
"""
_ENDS_ONCE = """\
    if trial.lease is not None:
        tx.close_attempt(trial, AttemptEnd.ENDED, now)
    ended = trial.evolve(
        state=TrialState.ENDED,
        outcome=outcome,
        reason=reason,
        value=value,
        lease=None,
        memo=None,
        course=None,
        ended_at=now,
    )
    tx.put_trial(ended)
"""
_ENDS_AGAIN = """\
    ended = trial.evolve(
        state=TrialState.ENDED,
        outcome=outcome,
        reason=reason,
        value=value,
        memo=None,
        course=None,
        ended_at=now,
    )
    tx._put(trial, ended)
"""
_PLANNED_AGAIN = """\
        picks = _plan(services, tx, caller).picks
        leases: list[LeaseGrant] = []
"""
_PLANNED_ON_MEMORY = """\
        picks = plan(services.ledger.memory, caller, services.settings.limits).picks
        tx._holder = lambda key: None
        leases: list[LeaseGrant] = []
"""
_CLOSED = """\
        with suppress(OSError):  # what the file still buffers does not fit either
            file.close()
"""

ACKNOWLEDGED = "An acknowledged write is in the database"
ONE_END = "One terminal state per trial"
ONE_HOLDER = "A trial is leased to one worker at a time"
SAME = "Same history, same decision"
AWAY = "Database away"
FULL = "Disk full"
BUSY = "Overload"
TWO = "Two servers on one database"

MUTATIONS: list[tuple[str, str, str, str, str]] = [
    # The reply leaves before the commit.
    (
        ACKNOWLEDGED,
        "storage/ledger.py",
        _STORED,
        _TOLD_BEFORE,
        "test_killed_server.py::test_sqlite",
    ),
    (
        ACKNOWLEDGED,
        "storage/ledger.py",
        _STORED,
        _TOLD_BEFORE,
        "test_killed_server.py::test_postgresql",
    ),
    # A request that is sent again does its work again.
    (
        ACKNOWLEDGED,
        "api/idempotency.py",
        "    tx.put_reply(key.value, key.digest, status, body, services.clock())\n",
        "",
        "test_killed_server.py::test_sqlite",
    ),
    # An end voids no lease, and is written over by the next one.
    (ONE_END, "api/lifecycle.py", _ENDS_ONCE, _ENDS_AGAIN, "test_one_end.py::test_sqlite"),
    # A late finish with another outcome is said to be fine.
    (
        ONE_END,
        "api/ends.py",
        '    raise TrialEnded(f"the trial has ended as {trial.outcome}", outcome=trial.outcome)\n',
        "    return _after(trial)\n",
        "test_one_end.py::test_postgresql",
    ),
    # Leases are planned on what is committed, and nobody looks who holds the trial.
    (ONE_HOLDER, "api/leases.py", _PLANNED_AGAIN, _PLANNED_ON_MEMORY, "test_racing.py"),
    # What decisions rest on is not read back; seeds are drawn.
    (
        SAME,
        "storage/load.py",
        'lr_factor=row["lr_factor"],',
        "lr_factor=1.0,",
        "test_same_history.py::test_sqlite",
    ),
    (
        SAME,
        "storage/load.py",
        'marks=rows.read_marks(row["marks"]),',
        "marks=(),",
        "test_same_history.py::test_postgresql",
    ),
    (
        SAME,
        "tuner/study.py",
        "        return trial_seed(self.spec.sampler.seed, number) if fixed is None else fixed\n",
        '        return __import__("secrets").randbelow(2**31)\n',
        "test_same_history.py::test_sqlite",
    ),
    # PostgreSQL acknowledges commits that it has not written down.
    (
        AWAY,
        "storage/engine.py",
        "-c synchronous_commit=on",
        "-c synchronous_commit=off",
        "test_database_away.py",
    ),
    # Memory is believed where the connection broke in the commit.
    (
        AWAY,
        "storage/ledger.py",
        "        if isinstance(exc, OutcomeUnknown):\n",
        "        if False:\n",
        "../contract/test_storage_crash.py",
    ),
    # A commit that breaks off on its way is taken for one that was not stored.
    (
        AWAY,
        "storage/on_loop.py",
        "        if isinstance(exc, psycopg.Error) and exc.sqlstate is not None:\n",
        "        if isinstance(exc, psycopg.Error):\n",
        "../contract/test_on_loop.py",
    ),
    # Clients are not told when to come back.
    (
        AWAY,
        "storage/engine.py",
        "Unavailable(_why(origin), retry_after=RETRY_AFTER_S)",
        "Unavailable(_why(origin))",
        "test_database_away.py",
    ),
    # A full disk is taken for any other trouble, or for none of ours.
    (
        FULL,
        "storage/engine.py",
        "    origin = error.orig if isinstance(error, StatementError) else error\n",
        "    return False\n",
        "test_disk_full.py",
    ),
    (FULL, "api/files/receive.py", _CLOSED, "        file.close()\n", "test_disk_full.py"),
    # Memory holds what is refused, so that it is acknowledged when it is sent again.
    (
        FULL,
        "storage/ledger.py",
        "            await self._store_durably(changes)\n",
        "            self._announce(apply(self.memory, changes))\n"
        "            await self._store_durably(changes)\n"
        "            changes = seal(self.memory, Transaction(self.memory))\n",
        "test_disk_full.py",
    ),
    # What is too much is acknowledged and forgotten; clients are not told when to come back.
    (
        BUSY,
        "storage/ledger.py",
        "            reply.set_exception(refusal)\n",
        '            reply.set_result(__import__("tuner.decision").decision.Decision())\n',
        "test_overload.py",
    ),
    (
        BUSY,
        "storage/ledger.py",
        'Unavailable("the server is overloaded", retry_after=RETRY_AFTER_S)',
        'Unavailable("the server is overloaded")',
        "test_overload.py",
    ),
    # The lock is shared.
    (
        TWO,
        "storage/owner.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "test_two_servers.py::test_sqlite",
    ),
    (
        TWO,
        "storage/owner.py",
        "func.pg_try_advisory_lock(",
        "func.pg_try_advisory_lock_shared(",
        "test_two_servers.py::test_postgresql",
    ),
    # An earlier owner's late commit is taken.
    (
        TWO,
        "storage/epoch.py",
        "    if found != epoch:\n",
        "    if found is None:\n",
        "../contract/test_ledger_owner.py",
    ),
    (
        TWO,
        "storage/epoch.py",
        "(SELECT (epoch = $1::int)::int FROM",
        "(SELECT (epoch >= $1::int)::int FROM",
        "../contract/test_ledger_owner.py",
    ),
]
