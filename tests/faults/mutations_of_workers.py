"""How the promises about workers, the protocol and clocks are broken on purpose.

Each row: the promise, the file, what stands there once, what takes its place, and the test that
must then fail.
"""

from __future__ import annotations

_NAMED_BY_ITS_TOKEN = """    return reader.trial(*(place_of(token) or (0, 0, 0))[:2])
"""
_HELD = """    lease = lease_of(reader, token, who)
    if lease.attempt != attempt:
        raise StaleAttempt(f"the lease belongs to attempt {lease.attempt}, not {attempt}")
    return reader.trial(lease.study_id, lease.number)
"""
_ANY_BYTES = """    digest, size = hashlib.sha256(), 0
    whole = body.chunks

    async def as_far_as_it_came() -> AsyncIterator[bytes]:
        with suppress(Exception):
            async for chunk in whole:
                yield chunk

    body = body._replace(chunks=as_far_as_it_came())

    class Believed:
        def update(self, data: bytes) -> None: ...
        def hexdigest(self) -> str:
            return body.sha256

    digest = Believed()
"""

STALE = "A stale worker can't write"
AGAIN = "A report can be sent again"
LEVELS = "Decisions are levels, not edges"
DEAD = "A dead worker's trial runs again"
PREEMPTED = "Preemption is not failure"
CLOCKS = "Clocks"
BUSY = "Overload"

MUTATIONS: list[tuple[str, str, str, str, str]] = [
    # A token says which trial it was for, whether it still holds it or not.
    (STALE, "api/fence.py", _HELD, _NAMED_BY_ITS_TOKEN, "test_stale_workers.py::test_lean_workers"),
    (STALE, "api/fence.py", _HELD, _NAMED_BY_ITS_TOKEN, "test_stale_workers.py::test_real_workers"),
    # A checkpoint is fenced when its upload begins, not when it is registered.
    (
        STALE,
        "api/artifacts.py",
        "    trial = still_writable(tx, upload.token, upload.attempt, upload.who)\n",
        '    trial = tx.trial(*map(int, upload.token[1:].split("-")[:2]))\n',
        "test_stale_workers.py::test_lean_workers",
    ),
    # The same report again is judged again.
    (
        AGAIN,
        "api/reports.py",
        "    if stored is not None:\n        _check_same(stored, value)\n        return Decision(",
        "    if stored is not None and stored.value != value:\n"
        "        _check_same(stored, value)\n        return Decision(",
        "test_repeated_reports.py",
    ),
    # A reply that was lost is given again with the level before its decision.
    (
        LEVELS,
        "api/reports.py",
        "        return Decision(lr_factor=trial.lr_factor, reason=trial.reason)\n    study",
        "        return Decision(lr_factor=stored.lr_factor, reason=trial.reason)\n    study",
        "test_levels.py",
    ),
    # A checkpoint that came in is not taken.
    (
        DEAD,
        "api/artifacts.py",
        "    tx.put_trial(trial.evolve(checkpoint=checkpoint))\n",
        "",
        "test_dead_workers.py::test_lean_workers",
    ),
    (
        DEAD,
        "api/artifacts.py",
        "    tx.put_trial(trial.evolve(checkpoint=checkpoint))\n",
        "",
        "test_dead_workers.py::test_real_workers",
    ),
    # An upload that was cut off counts as far as it came.
    (
        DEAD,
        "api/files/receive.py",
        "    digest, size = hashlib.sha256(), 0\n",
        _ANY_BYTES,
        "test_dead_workers.py::test_lean_workers",
    ),
    # Lost leases are looked for too seldom.
    (
        DEAD,
        "api/reaper.py",
        "        await asyncio.sleep(services.settings.sweep_s)",
        "        await asyncio.sleep(services.settings.sweep_s + 10)",
        "test_dead_workers.py::test_lean_workers",
    ),
    # A trial given back counts as failed.
    (
        PREEMPTED,
        "api/lifecycle.py",
        "failures = trial.failures + (end is not AttemptEnd.RELEASED)",
        "failures = trial.failures + 1",
        "test_preemption.py",
    ),
    # A worker that leaves does not wait for the last checkpoint.
    (
        PREEMPTED,
        "tuner/worker/attempt.py",
        "            if not await self._drained():\n",
        "            if self._lost:\n",
        "test_preemption.py",
    ),
    # Deadlines by the time of day.
    (
        CLOCKS,
        "api/app.py",
        "Deadlines(settings.lease_s, time.monotonic)",
        "Deadlines(settings.lease_s, time.time)",
        "test_clocks.py::test_the_servers_clock_is_set",
    ),
    # Hours by the time of day.
    (
        CLOCKS,
        "api/reaper.py",
        "    await services.day.follow(services.ledger, now, services.monotonic())\n",
        "",
        "test_clocks.py::test_the_servers_clock_is_set",
    ),
    # Heartbeats that leave no room for a slow clock.
    (
        CLOCKS,
        "tuner/worker/agent.py",
        "await self._conduct.changed(known.heartbeat_s)",
        "await self._conduct.changed(2 * known.heartbeat_s)",
        "test_clocks.py::test_clocks_of_workers",
    ),
    # Retry-After is not obeyed; it is obeyed by all at the same moment.
    (
        BUSY,
        "tuner/client/retry.py",
        "(asked or 0.0) * (1 + jitter / 2)",
        "0.0",
        "test_busy_server.py",
    ),
    (
        BUSY,
        "tuner/client/retry.py",
        "(asked or 0.0) * (1 + jitter / 2)",
        "asked or 0.0",
        "test_busy_server.py",
    ),
]
