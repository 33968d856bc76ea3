"""Whether parameters are points of their studies' spaces, and what stored documents say is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import Connection, select

from storage import optuna_rows, rows
from storage.check.finding import Finding
from storage.prune import DELETED
from storage.tables import optuna_params, optuna_studies, specs, studies, trials
from tuner.handle import ParamValue
from tuner.space import Space
from tuner.trial import Origin

_FETCH = 10_000


def odd_params(connection: Connection) -> Iterator[Finding]:
    """Yield studies whose document can't be read, and trials outside of their space.

    A trial is a point of a space its study has or had. Adopted trials keep the distributions they
    were found with.
    """
    spaces: dict[int, list[Space]] = {}
    names: dict[int, str] = {}
    query = select(studies.c.study_id, studies.c.spec, optuna_studies.c.study_name).join(
        optuna_studies, optuna_studies.c.study_id == studies.c.study_id
    )
    query = query.where(studies.c.state != DELETED)
    for study_id, spec, name in connection.execute(query):
        names[study_id] = name
        try:
            spaces[study_id] = [rows.read_spec(spec).build_space()]
        except ValueError as exc:
            line = str(exc).splitlines()[0]
            yield Finding(rule="spec", study=name, message=f"has a document that fails: {line}")
    for study_id, spec in connection.execute(select(specs.c.study_id, specs.c.spec)):
        if study_id in spaces:
            spaces[study_id].append(rows.read_spec(spec).build_space())
    found: dict[int, dict[str, ParamValue]] = defaultdict(dict)
    unread: dict[int, str] = {}
    _read(connection, found, unread)
    every = select(trials.c.trial_id, trials.c.study_id, trials.c.number)
    ours = every.where(trials.c.origin != Origin.ADOPTED.value).order_by(trials.c.trial_id)
    for trial_id, study_id, number in connection.execute(ours).yield_per(_FETCH):
        if (name := names.get(study_id)) is None:
            continue
        faults = [unread[trial_id]] if trial_id in unread else []
        if study_id in spaces and not faults:
            params = found.pop(trial_id, {})
            each = [space.faults(params) for space in spaces[study_id]]
            faults = min(each, key=len)
        for fault in faults:
            yield Finding(rule="params", study=name, trial=number, message=f"is off: {fault}")


def _read(
    connection: Connection, found: dict[int, dict[str, ParamValue]], unread: dict[int, str]
) -> None:
    table = optuna_params
    query = (
        select(table.c.trial_id, table.c.param_name, table.c.param_value, table.c.distribution_json)
        .join(trials, trials.c.trial_id == table.c.trial_id)
        .order_by(table.c.param_id)
    )
    for trial_id, name, value, distribution in connection.execute(query).yield_per(_FETCH):
        try:
            found[trial_id][name] = optuna_rows.read_param(distribution, value)
        except (ValueError, KeyError, IndexError, TypeError):
            unread[trial_id] = f"a parameter {name} that can't be read"
