"""From an overlay: the change set to be stored, and the memory once it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import takewhile
from operator import is_

from storage.changes import (
    Attempt,
    Changes,
    Committed,
    ReportKey,
    StoredReport,
    TrialChange,
    TrialKey,
)
from storage.index import changed_entries, put
from storage.memory import Counters, Memory, Tables, merge, same_report
from storage.optuna_records.merge import apply_optuna, seal_optuna
from storage.optuna_records.state import OptunaChanges, OptunaTables
from storage.overlay import Overlay
from storage.transaction import Transaction
from tuner.trial import Report, Trial, TrialState


def seal(memory: Memory, tx: Transaction) -> Changes:
    """Return what a batch wants stored; give events their `seq`, inherited reports their rows."""
    base, overlay = memory.tables, tx.overlay
    trials = tuple(_trial_changes(tx, base, overlay))
    gone = overlay.dropped
    reports = {k: (r, False) for k, r in overlay.reports.items() if k.study_id not in gone}
    curves = _Curves(base=base, reports=reports)
    for change in trials:
        curves.follow(change)
    opened = [a for a in overlay.attempts.values() if a is not None]
    opened += [a for a in overlay.closed.values() if a.lease.token not in base.attempts]
    closed = [a for a in overlay.closed.values() if a.lease.token in base.attempts]
    seq, events = base.counters.seq, [e for e in overlay.events.values() if e.study_id not in gone]
    studies = {i: s for i, s in overlay.studies.items() if i not in gone}
    return Changes(
        dropped=tuple(i for i in gone if i in base.studies),
        new_studies=tuple(s for i, s in studies.items() if i not in base.studies),
        studies=tuple(s for i, s in studies.items() if i in base.studies),
        specs=tuple(c for (i, _), c in overlay.specs.items() if i not in gone),
        attributes={k: v for k, v in overlay.attributes.items() if k[0] not in gone},
        trials=trials,
        attempts_opened=tuple(a for a in opened if a.lease.study_id not in gone),
        attempts_closed=tuple(a for a in closed if a.lease.study_id not in gone),
        reports=curves.reports,
        left=tuple(curves.left),
        entered=tuple(curves.entered),
        checkpoints=tuple(overlay.checkpoints.values()),
        environments=tuple(e for e in overlay.environments.values() if e.study_id not in gone),
        checkpoints_dropped=tuple(overlay.checkpoints_dropped),
        artifacts=tuple(overlay.artifacts.values()),
        held_bytes={i: n for i, n in overlay.held_bytes.items() if n and i not in gone},
        marks=dict(overlay.marks),
        events=tuple(replace(e, seq=seq + i) for i, e in enumerate(events)),
        workers=dict(overlay.workers),
        replies=dict(overlay.replies),
        tokens=dict(overlay.tokens),
        audit=tuple(overlay.audit.values()),
        sessions=dict(overlay.sessions),
        webhooks=dict(overlay.webhooks),
        deliveries=tuple(overlay.deliveries.values()),
        remarks={k: r for k, r in overlay.remarks.items() if k.study_id not in gone},
        views=dict(overlay.views),
        optuna=seal_optuna(base.optuna, overlay.optuna),
    )


def _trial_changes(tx: Transaction, base: Tables, overlay: Overlay) -> Iterator[TrialChange]:
    for study_id, changed in overlay.trials.items():
        if study_id in overlay.dropped:
            continue
        study, before = tx.study(study_id), base.trials.get(study_id, {})
        for number, trial in changed.items():
            place = TrialKey(study_id, number)
            yield TrialChange(
                study=overlay.born.get(place, study), old=before.get(number), new=trial,
                note=overlay.notes.get(place, ""), record=overlay.records.get(place),
            )  # fmt: skip


@dataclass
class _Curves:
    """Which stored reports make up each lineage.

    The lineage's report of a step is the one of the newest attempt that stored this value there.
    One that no attempt stored was inherited from another trial, and is stored as attempt 0's.
    """

    base: Tables
    reports: dict[ReportKey, tuple[StoredReport, bool]]
    left: list[tuple[int, int]] = field(default_factory=list)
    entered: list[tuple[int, int, int]] = field(default_factory=list)

    def follow(self, change: TrialChange) -> None:
        """Note what a trial's change moves in and out of its lineage."""
        before = change.old.reports if change.old else ()
        after = change.new.reports
        same = sum(takewhile(bool, map(is_, before, after)))
        self.left += [(change.new.trial_id, r.step) for r in before[same:]]
        for report in after[same:]:
            self._enter(change.new, report)

    def _enter(self, trial: Trial, report: Report) -> None:
        stored = self.base.stored.get(TrialKey(trial.study_id, trial.number), {})
        for attempt in range(trial.attempt, -1, -1):
            key = ReportKey(trial.study_id, trial.number, attempt, report.step)
            if key in self.reports and same_report(self.reports[key][0].report, report):
                self.reports[key] = (self.reports[key][0], True)
                return
            known = stored.get(attempt, {}).get(report.step)
            if known is not None and same_report(known, report):
                self.entered.append((trial.trial_id, attempt, report.step))
                return
        key = ReportKey(trial.study_id, trial.number, 0, report.step)
        at = trial.started_at or trial.created_at
        metrics = report.metrics or {}
        inherited = StoredReport(trial_id=trial.trial_id, report=report, metrics=metrics, at=at)
        self.reports[key] = (inherited, True)


def apply(memory: Memory, changes: Changes) -> Committed:
    """Make committed changes part of memory and tell what is new."""
    tables = memory.tables
    for study_id in changes.dropped:
        _drop(tables, study_id)
    for study in (*changes.new_studies, *changes.studies):
        tables.studies[study.study_id] = study
        tables.names[study.name] = study.study_id
        tables.counters.study_id = max(tables.counters.study_id, study.study_id + 1)
    for key, (stored, _) in changes.reports.items():
        curves = tables.stored.setdefault(TrialKey(key.study_id, key.number), {})
        curves.setdefault(key.attempt, {})[key.step] = stored.report
    for change in changes.trials:
        _apply_trial(tables, change)
    for attempt in changes.attempts_opened:
        if attempt.end is None:
            _hold(tables, attempt)
    for attempt in changes.attempts_closed:
        _release(tables, attempt)
    for study_id, grown in changes.held_bytes.items():
        tables.held_bytes[study_id] = tables.held_bytes.get(study_id, 0) + grown
    tables.counters.seq += len(changes.events)
    merge(tables.workers, changes.workers)
    merge(tables.replies, changes.replies)
    merge(tables.tokens, changes.tokens)
    merge(tables.webhooks, changes.webhooks)
    merge(tables.remarks, changes.remarks)
    merge(tables.views, changes.views)
    if tables.optuna is not None:
        _count_optuna(tables.counters, tables.optuna, changes.optuna)
        apply_optuna(tables.optuna, changes)
    return Committed(
        reports=changes.reports,
        events=changes.events,
        trials=tuple(c.new for c in changes.trials),
        studies=(*changes.new_studies, *changes.studies),
        dropped=changes.dropped,
        workers=tuple(changes.workers),
        tokens=tuple(changes.tokens),
        webhooks=tuple(changes.webhooks),
    )


def _drop(tables: Tables, study_id: int) -> None:
    study = tables.studies.pop(study_id)
    tables.names.pop(study.name, None)
    for number in tables.trials.pop(study_id, {}):
        place = TrialKey(study_id, number)
        tables.stored.pop(place, None)
        tables.attempts.pop(tables.holders.pop(place, ""), None)
    for key in [k for k in tables.remarks if k.study_id == study_id]:
        del tables.remarks[key]
    tables.index.pop(study_id, None)
    tables.held_bytes.pop(study_id, None)
    tables.counters.numbers.pop(study_id, None)
    if tables.optuna is not None:
        tables.optuna.drop_study(study_id)


def _count_optuna(counters: Counters, optuna: OptunaTables, changes: OptunaChanges) -> None:
    for study_id in changes.deleted:
        counters.foreign_names.pop(optuna.study(study_id).name, None)
    for _, study in changes.studies:
        counters.study_id = max(counters.study_id, study.study_id + 1)
        if not study.ours:
            counters.foreign_names[study.name] = study.study_id
    for _, trial in changes.trials:
        counters.trial_id = max(counters.trial_id, trial.trial_id + 1)


def _apply_trial(tables: Tables, change: TrialChange) -> None:
    trial = change.new
    tables.trials.setdefault(trial.study_id, {})[trial.number] = trial
    if changed := changed_entries(change.old, trial):
        put(tables.index.setdefault(trial.study_id, {}), trial.number, changed)
    counters = tables.counters
    counters.trial_id = max(counters.trial_id, trial.trial_id + 1)
    counters.numbers[trial.study_id] = max(
        counters.numbers.get(trial.study_id, 0), trial.number + 1
    )
    forget_old_attempts(tables, trial)


def forget_old_attempts(tables: Tables, trial: Trial) -> None:
    """Keep of an ended trial only the reports that its last attempt stored."""
    if trial.state is not TrialState.ENDED:
        return
    place = TrialKey(trial.study_id, trial.number)
    curves = tables.stored.pop(place, {})
    if trial.attempt in curves:
        tables.stored[place] = {trial.attempt: curves[trial.attempt]}


def _hold(tables: Tables, attempt: Attempt) -> None:
    lease = attempt.lease
    tables.attempts[lease.token] = attempt
    tables.holders[TrialKey(lease.study_id, lease.number)] = lease.token


def _release(tables: Tables, attempt: Attempt) -> None:
    lease = attempt.lease
    tables.attempts.pop(lease.token, None)
    place = TrialKey(lease.study_id, lease.number)
    if tables.holders.get(place) == lease.token:
        del tables.holders[place]
