"""The overlay and the indexes, without SQL."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from storage import Committed, Ledger, Memory, Transaction
from storage.index import build_index
from storage.memory import Reader
from storage.merge import apply, seal
from storage.testing import memory_ledger
from tests.contract.ledger_history import History, canonical, random_params, spec
from tuner.decision import Outcome
from tuner.errors import (
    Conflict,
    DuplicateName,
    InvalidInput,
    NotFound,
    ReportMismatch,
    StaleAttempt,
    TrialEnded,
    TunerError,
)
from tuner.trial import (
    AttemptEnd,
    Checkpoint,
    Lease,
    Origin,
    Report,
    RungMark,
    Trial,
    TrialState,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def begin() -> Transaction:
    """Open a transaction on an empty memory with one study."""
    tx = Transaction(Memory())
    tx.new_study("s", spec(), "me", NOW)
    return tx


def waiting(tx: Transaction) -> Trial:
    params = random_params(random.Random(0), tx.study(1))
    return tx.new_trial(1, params, Origin.SAMPLED, 7, NOW)


def running(tx: Transaction) -> Trial:
    trial = waiting(tx)
    lease = Lease(
        token=f"t{trial.number}", study_id=1, number=trial.number, attempt=1, worker_id=None
    )
    tx.open_attempt(trial, lease, NOW)
    trial = trial.evolve(state=TrialState.RUNNING, attempt=1, lease=lease, started_at=NOW)
    tx.put_trial(trial)
    return trial


def assert_index_is_right(reader: Reader) -> None:
    """Compare every answer about peers with a recomputation from the trials alone."""
    for study in reader.studies():
        trials = [t for t in reader.trials(study.study_id) if t.origin is not Origin.CONTROL]
        peers = reader.peers(study.study_id)
        rungs = {(m.bracket, m.rung) for t in trials for m in t.marks} | {(0, 0), (9, 9)}
        for bracket, rung in rungs:
            naive = [
                [m.value for m in t.marks if (m.bracket, m.rung) == (bracket, rung)][-1:]
                for t in trials
            ]
            found = peers.at_rung(bracket, rung)
            assert list(found) == sorted(v for vs in naive for v in vs)
        good = [t for t in trials if t.outcome in (Outcome.COMPLETE, Outcome.CONVERGED)]
        assert peers.complete_count() == len(good)
        for step in range(1, 12):
            values = [r.value for t in good for r in t.reports if r.step == step]
            assert list(peers.complete_at(step)) == sorted(filter(math.isfinite, values))


@pytest.mark.parametrize("seed", range(8))
def test_index_equals_a_recomputation_after_every_command(seed: int) -> None:
    history, memory = History(seed), Memory()
    for _ in range(40):
        tx = Transaction(memory)
        for _ in range(history.rng.randrange(1, 6)):
            savepoint = tx.savepoint()
            try:
                history.command()(tx)
            except Conflict:
                tx.rollback(savepoint)
            assert_index_is_right(tx)
        apply(memory, seal(memory, tx))
        assert_index_is_right(memory)
    for study_id, index in memory.tables.index.items():
        assert index.keys() == build_index(memory.trials(study_id)).keys()


@pytest.mark.parametrize("seed", range(6))
def test_rollback_leaves_no_trace(seed: int) -> None:
    history, memory = History(seed), Memory()
    plain, disturbed = Transaction(memory), Transaction(memory)
    for _ in range(60):
        if history.count > 2:
            savepoint = disturbed.savepoint()
            with pytest.raises(Conflict, match="refused"):
                history.refused()(disturbed)
            disturbed.rollback(savepoint)
        command = history.command(fails=False)
        command(plain)
        command(disturbed)
    one, two = Memory(), Memory()
    apply(one, seal(memory, plain))
    apply(two, seal(memory, disturbed))
    assert canonical(one) == canonical(two)


def test_marks_vanish_with_a_new_attempt() -> None:
    tx = begin()
    trial = running(tx).evolve(marks=(RungMark(0, 0, 1, 0.5), RungMark(0, 1, 3, 0.4)))
    tx.put_trial(trial)
    tx.put_trial(trial.evolve(marks=trial.marks[:1]))
    assert tx.peers(1).at_rung(0, 0) == [0.5]
    assert tx.peers(1).at_rung(0, 1) == []


def test_a_transaction_changes_nothing_below_it() -> None:
    memory = Memory()
    tx = Transaction(memory)
    tx.new_study("s", spec(), "me", NOW)
    running(tx)
    assert canonical(memory) == canonical(Memory())


def test_absent_things_are_not_found() -> None:
    tx = begin()
    asks: list[Callable[[], object]] = [
        lambda: tx.study(2), lambda: tx.study_named("t"), lambda: tx.trial(1, 0),
        lambda: tx.trials(2), lambda: tx.worker("w"), lambda: tx.peers(2),
        lambda: tx.next_number(2), lambda: tx.drop_worker("w"),
    ]  # fmt: skip
    for ask in asks:
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(StaleAttempt):
        tx.lease("never given")
    assert tx.reply("k") is None
    assert tx.stored_report(1, 0, 1, 1) is None


def test_a_study_name_is_taken_once() -> None:
    tx = begin()
    with pytest.raises(DuplicateName) as caught:
        tx.new_study("s", spec(), "me", NOW)
    assert caught.value.extra["study_id"] == 1
    with pytest.raises(InvalidInput):
        tx.put_study(tx.study(1).evolve(name="other"))


def test_a_trial_ends_once() -> None:
    tx = begin()
    trial = running(tx)
    tx.close_attempt(trial, AttemptEnd.ENDED, NOW)
    ended = trial.evolve(
        state=TrialState.ENDED, outcome=Outcome.COMPLETE, value=1.0, lease=None, ended_at=NOW
    )
    tx.put_trial(ended)
    tx.put_trial(ended)
    with pytest.raises(TrialEnded):
        tx.put_trial(ended.evolve(outcome=Outcome.FAILED))


def test_a_lease_is_valid_from_open_to_close() -> None:
    tx = begin()
    trial = running(tx)
    assert tx.lease("t0") == trial.lease
    assert tx.leases() == (trial.lease,)
    other = Lease(token="other", study_id=1, number=0, attempt=2, worker_id=None)
    with pytest.raises(StaleAttempt):
        tx.open_attempt(trial, other, NOW)
    tx.close_attempt(trial, AttemptEnd.LOST, NOW)
    with pytest.raises(StaleAttempt):
        tx.lease("t0")
    with pytest.raises(StaleAttempt):
        tx.close_attempt(trial, AttemptEnd.LOST, NOW)
    tx.open_attempt(trial, other, NOW)
    assert tx.lease("other") == other


def test_a_report_is_stored_once() -> None:
    tx = begin()
    trial = running(tx)
    tx.add_report(trial, 1, Report(1, 0.5, 1.0), {}, NOW)
    tx.add_report(trial, 1, Report(1, 0.5, 1.0), {}, NOW)
    with pytest.raises(ReportMismatch):
        tx.add_report(trial, 1, Report(1, 0.6, 1.0), {}, NOW)
    assert tx.stored_report(1, 0, 1, 1) == Report(1, 0.5, 1.0)
    assert tx.stored_report(1, 0, 2, 1) is None


def test_parameters_get_their_own_type() -> None:
    tx = begin()
    params = {**waiting(tx).params, "lr": 1, "layers": 3.0}
    trial = tx.new_trial(1, params, Origin.ENQUEUED, 1, NOW)
    assert isinstance(trial.params["lr"], float)
    assert isinstance(trial.params["layers"], int)
    with pytest.raises(InvalidInput, match="layers"):
        tx.new_trial(1, {**params, "layers": 99}, Origin.ENQUEUED, 1, NOW)


def test_old_replies_make_room() -> None:
    memory = Memory()
    tx = Transaction(memory)
    tx.put_reply("old", "d", 200, b"", NOW)
    apply(memory, seal(memory, tx))
    tx = Transaction(memory)
    tx.put_reply("new", "d", 200, b"", NOW.replace(day=3))
    apply(memory, seal(memory, tx))
    assert memory.reply("old") is None
    assert memory.reply("new") is not None


def test_an_ended_trial_keeps_its_last_attempts_reports() -> None:
    memory = Memory()
    tx = Transaction(memory)
    tx.new_study("s", spec(), "me", NOW)
    trial = running(tx)
    tx.add_report(trial, 1, Report(1, 0.5, 1.0), {}, NOW)
    tx.close_attempt(trial, AttemptEnd.LOST, NOW)
    checkpoint = Checkpoint(1, 1, "0" * 64, 1, "p")
    trial = trial.evolve(attempt=2, lease=None, checkpoint=checkpoint)
    tx.put_trial(trial)
    tx.add_report(trial, 2, Report(2, 0.4, 1.0), {}, NOW)
    apply(memory, seal(memory, tx))
    assert memory.stored_report(1, 0, 1, 1) is not None
    tx = Transaction(memory)
    tx.put_trial(trial.evolve(state=TrialState.ENDED, outcome=Outcome.FAILED, ended_at=NOW))
    apply(memory, seal(memory, tx))
    assert memory.stored_report(1, 0, 1, 1) is None
    assert memory.stored_report(1, 0, 2, 2) == Report(2, 0.4, 1.0)


def test_a_failing_command_harms_no_other() -> None:
    async def run(ledger: Ledger) -> None:
        def bad(tx: Transaction) -> None:
            tx.new_study("bad", spec(), "me", NOW)
            raise Conflict("no")

        def worse(tx: Transaction) -> None:
            tx.new_study("worse", spec(), "me", NOW)
            raise ZeroDivisionError

        results = await asyncio.gather(
            ledger.write(lambda tx: tx.new_study("a", spec(), "me", NOW).study_id),
            ledger.write(bad),
            ledger.write(worse),
            ledger.write(lambda tx: tx.new_study("b", spec(), "me", NOW).study_id),
            return_exceptions=True,
        )
        assert results[0] == 1
        assert isinstance(results[1], Conflict)
        assert isinstance(results[2], ZeroDivisionError)
        assert results[3] == 2
        assert [s.name for s in ledger.memory.studies()] == ["a", "b"]

    asyncio.run(_with_ledger(run))


def test_subscribers_hear_after_the_commit() -> None:
    async def run(ledger: Ledger) -> None:
        heard: list[tuple[Committed, int]] = []
        stop = ledger.subscribe(lambda news: heard.append((news, len(ledger.memory.studies()))))
        await ledger.write(lambda tx: tx.new_study("a", spec(), "me", NOW))
        await ledger.write(lambda tx: len(tx.studies()))
        stop()
        await ledger.write(lambda tx: tx.new_study("b", spec(), "me", NOW))
        assert [(n.studies[0].name, count) for n, count in heard] == [("a", 1)]

    asyncio.run(_with_ledger(run))


def test_closing_commits_what_was_handed_in() -> None:
    async def run() -> None:
        async with memory_ledger() as ledger:
            task = asyncio.create_task(
                ledger.write(lambda tx: tx.new_study("a", spec(), "me", NOW).study_id)
            )
            await asyncio.sleep(0)
        assert await task == 1
        with pytest.raises(TunerError, match="stopping"):
            await ledger.write(lambda tx: None)

    asyncio.run(run())


async def _with_ledger(run: Callable[[Ledger], Awaitable[None]]) -> None:
    async with memory_ledger() as ledger:
        await run(ledger)
