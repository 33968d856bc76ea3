"""From an overlay: what is stored of Optuna's studies, and the memory once it is.

The service's own changes show here too, as its rows of Optuna's tables will.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from storage import optuna_rows
from storage.optuna_records.state import OptunaChanges, OptunaOverlay, OptunaTables
from storage.optuna_records.values import OptunaStudy, OptunaTrial, Suggested
from storage.rows import aware_or_none
from tuner.study import Study

if TYPE_CHECKING:
    from storage.changes import Changes, ReportKey, StoredReport, TrialChange


def seal_optuna(base: OptunaTables | None, overlay: OptunaOverlay) -> OptunaChanges:
    """Return what a batch wants stored of Optuna's studies."""
    if base is None:
        return OptunaChanges()
    gone = {i for i, study in overlay.studies.items() if study is None}
    return OptunaChanges(
        deleted=tuple(i for i in gone if i in base.studies),
        studies=tuple(
            (base.studies.get(i), study) for i, study in overlay.studies.items() if study
        ),
        trials=tuple(
            (base.trials.get(trial.study_id, {}).get(i), trial)
            for i, trial in overlay.trials.items()
            if trial.study_id not in gone
        ),
    )


def apply_optuna(tables: OptunaTables, changes: Changes) -> None:
    """Make committed changes part of memory: the service's own too, as Optuna sees them."""
    for study_id in changes.optuna.deleted:
        tables.drop_study(study_id)
    for _, study in changes.optuna.studies:
        tables.put_study(study)
    for _, trial in changes.optuna.trials:
        tables.put_trial(trial)
    for ours in (*changes.new_studies, *changes.studies):
        tables.put_study(_follow_study(tables.studies.get(ours.study_id), ours))
    for (study_id, key), value in changes.attributes.items():
        study = tables.study(study_id)
        tables.put_study(study.evolve(user_attrs={**study.user_attrs, key: value}))
    for change in changes.trials:
        tables.put_trial(_follow_trial(tables, change))
    _follow_reports(tables, changes.reports.items())


def _follow_study(seen: OptunaStudy | None, study: Study) -> OptunaStudy:
    if seen is None:
        seen = OptunaStudy(
            study_id=study.study_id, name=study.name, ours=True,
            directions=(optuna_rows.direction_row(study)["direction"],),
            system_attrs=_attribute(optuna_rows.metric_row(study)),
        )  # fmt: skip
    return seen.evolve(user_attrs={**seen.user_attrs, **_attribute(optuna_rows.spec_row(study))})


def _attribute(row: dict[str, Any]) -> dict[str, Any]:
    return {row["key"]: json.loads(row["value_json"])}


def _follow_trial(tables: OptunaTables, change: TrialChange) -> OptunaTrial:
    trial = change.new
    seen = tables.trials.get(trial.study_id, {}).get(trial.trial_id)
    if seen is None:
        seen = OptunaTrial(
            trial_id=trial.trial_id, study_id=trial.study_id, number=trial.number,
            state=TrialState.WAITING,
            params={
                row["param_name"]: Suggested(
                    row["param_value"], optuna_rows.read_distribution(row["distribution_json"])
                )
                for row in optuna_rows.param_rows(change)
            },
        )  # fmt: skip
    row, value = optuna_rows.shown(change), optuna_rows.shown_value(change)
    return seen.evolve(
        state=row["state"],
        values=seen.values if value is None else (value,),
        started_at=aware_or_none(row["datetime_start"]) or seen.started_at,
        completed_at=aware_or_none(row["datetime_complete"]),
        user_attrs={**seen.user_attrs, **optuna_rows.shown_attributes(change)},
    )


def _follow_reports(
    tables: OptunaTables, reports: Iterable[tuple[ReportKey, tuple[StoredReport, bool]]]
) -> None:
    """Show the newest attempt's value of each step."""
    newest: dict[int, dict[int, float]] = {}
    for key, (stored, _) in sorted(reports, key=lambda item: item[0].attempt):
        newest.setdefault(stored.trial_id, {})[key.step] = stored.report.value
    for trial_id, values in newest.items():
        trial = tables.trial(trial_id)
        shown = {**trial.intermediate_values, **values}
        tables.put_trial(trial.evolve(intermediate_values=shown))
