"""Our invariants, each as a query for the rows that break it. Standard SQL, the same everywhere."""

# ruff: noqa: S608 - the queries are put together from the constants of this file alone

from __future__ import annotations

from storage.check.finding import Rule
from storage.prune import RETIRED

_WHOSE = "s.study_name AS study, t.number AS trial"
_LIVE = f"s.study_name NOT LIKE '{RETIRED}%'"
_TRIALS = f"tuner_trials t JOIN studies s ON {_LIVE} AND s.study_id = t.study_id"
_OURS = "t.origin <> 'adopted'"
"""An adopted trial stands in Optuna's tables as it was found there."""
_GROUP = "GROUP BY t.trial_id, s.study_name, t.number, t.state, t.attempt"
_OPEN = f"{_TRIALS} LEFT JOIN tuner_attempts a ON a.trial_id = t.trial_id AND a.ended_at IS NULL"

STUDIES = (
    Rule(
        name="study-over",
        query=f"""
            SELECT s.study_name AS study, o.state, o.ended_at FROM tuner_studies o
            JOIN studies s ON {_LIVE} AND s.study_id = o.study_id
            WHERE (o.state IN ('finished', 'cancelled')) <> (o.ended_at IS NOT NULL)
               OR o.state NOT IN ('queued', 'running', 'paused', 'finished', 'cancelled')
        """,
        message="is {state} and its end is {ended_at}",
    ),
    Rule(
        name="study-over-trial-open",
        query=f"""
            SELECT {_WHOSE}, t.state, o.state AS study_state FROM {_TRIALS}
            JOIN tuner_studies o ON o.study_id = t.study_id
            WHERE o.state IN ('finished', 'cancelled') AND t.state <> 'ended'
        """,
        message="is {state}, and its study is {study_state}",
    ),
    Rule(
        name="numbers",
        query=f"""
            SELECT s.study_name AS study, count(*) AS found, min(o.number) AS low,
                   max(o.number) AS high
            FROM trials o JOIN tuner_studies u ON u.study_id = o.study_id
            JOIN studies s ON {_LIVE} AND s.study_id = o.study_id
            GROUP BY s.study_id, s.study_name
            HAVING min(o.number) <> 0 OR max(o.number) <> count(*) - 1
        """,
        message="has {found} trials, numbered from {low} to {high}",
    ),
)

TRIALS = (
    Rule(
        name="terminal-state",
        query=f"""
            SELECT {_WHOSE}, t.state, t.outcome, t.ended_at FROM {_TRIALS}
            WHERE (t.state = 'ended') <> (t.outcome IS NOT NULL)
               OR (t.state = 'ended') <> (t.ended_at IS NOT NULL)
               OR t.state NOT IN ('waiting', 'running', 'ended')
               OR t.outcome NOT IN ('complete', 'pruned', 'converged', 'diverged', 'oom', 'failed',
                                    'cancelled')
        """,
        message="is {state} with outcome {outcome} and end {ended_at}",
    ),
    Rule(
        name="ended-once",
        query=f"""
            SELECT s.study_name AS study, e.number AS trial, count(*) AS ends
            FROM tuner_events e JOIN studies s ON {_LIVE} AND s.study_id = e.study_id
            WHERE e.kind = 'ended' GROUP BY s.study_name, e.number HAVING count(*) > 1
        """,
        message="has ended {ends} times",
    ),
    Rule(
        name="held-after-end",
        query=f"""
            SELECT {_WHOSE}, min(a.attempt) AS held FROM {_OPEN}
            WHERE t.state = 'ended' {_GROUP} HAVING count(a.trial_id) > 0
        """,
        message="has ended, and attempt {held} still holds it",
    ),
    Rule(
        name="held-twice",
        query=f"SELECT {_WHOSE}, count(*) AS held FROM {_OPEN} {_GROUP}"
        " HAVING count(a.trial_id) > 1",
        message="is held by {held} attempts",
    ),
    Rule(
        name="held",
        query=f"""
            SELECT {_WHOSE}, t.state, t.attempt, count(a.trial_id) AS held, max(a.attempt) AS newest
            FROM {_OPEN} WHERE t.state <> 'ended' {_GROUP}
            HAVING (t.state = 'running') <> (count(a.trial_id) > 0)
                OR (count(a.trial_id) = 1 AND max(a.attempt) <> t.attempt)
        """,
        message="is {state} in attempt {attempt}, and {held} attempts hold it (newest: {newest})",
    ),
    Rule(
        name="attempt-numbers",
        query=f"""
            SELECT {_WHOSE}, t.attempt, count(a.trial_id) AS found, min(a.attempt) AS low,
                   max(a.attempt) AS high
            FROM {_TRIALS} LEFT JOIN tuner_attempts a ON a.trial_id = t.trial_id {_GROUP}
            HAVING count(a.trial_id) <> t.attempt OR coalesce(max(a.attempt), 0) <> t.attempt
                OR coalesce(min(a.attempt), 1) <> 1
        """,
        message="is in attempt {attempt}, and has {found} attempts, numbered from {low} to {high}",
    ),
    Rule(
        name="attempt-end",
        query=f"""
            SELECT {_WHOSE}, a.attempt, a.ended_at, a.ended_why FROM {_TRIALS}
            JOIN tuner_attempts a ON a.trial_id = t.trial_id
            WHERE (a.ended_at IS NULL) <> (a.ended_why IS NULL)
        """,
        message="has attempt {attempt}, which ended at {ended_at} because {ended_why}",
    ),
    Rule(
        name="report-attempt",
        query=f"""
            SELECT {_WHOSE}, r.attempt, min(r.step) AS step FROM {_TRIALS}
            JOIN tuner_reports r ON r.trial_id = t.trial_id
            WHERE r.attempt > t.attempt GROUP BY s.study_name, t.number, r.attempt
        """,
        message="has a report at step {step} of attempt {attempt}, which never was",
    ),
    Rule(
        name="lineage",
        query=f"""
            SELECT {_WHOSE}, r.step, count(*) AS found FROM {_TRIALS}
            JOIN tuner_reports r ON r.trial_id = t.trial_id
            WHERE r.lineage GROUP BY s.study_name, t.trial_id, t.number, r.step HAVING count(*) > 1
        """,
        message="has {found} reports in its curve at step {step}",
    ),
    Rule(
        name="event-trial",
        query=f"""
            SELECT s.study_name AS study, e.number AS trial, min(e.seq) AS seq
            FROM tuner_events e JOIN studies s ON {_LIVE} AND s.study_id = e.study_id
            LEFT JOIN tuner_trials t ON t.study_id = e.study_id AND t.number = e.number
            WHERE e.number IS NOT NULL AND t.trial_id IS NULL GROUP BY s.study_name, e.number
        """,
        message="has event {seq}, and there is no such trial",
    ),
)

OPTUNA = (
    Rule(
        name="optuna-trial",
        query=f"""
            SELECT s.study_name AS study, o.number AS trial, t.number AS ours
            FROM trials o JOIN tuner_studies u ON u.study_id = o.study_id
            JOIN studies s ON {_LIVE} AND s.study_id = o.study_id
            LEFT JOIN tuner_trials t ON t.trial_id = o.trial_id
            WHERE t.trial_id IS NULL OR t.number <> o.number OR t.study_id <> o.study_id
        """,
        message="is in Optuna's table, and in ours it is {ours}",
    ),
    Rule(
        name="optuna-state",
        query=f"""
            SELECT {_WHOSE}, t.state, t.outcome, t.ended_at, CAST(o.state AS VARCHAR(8)) AS seen,
                   o.datetime_complete AS end_seen
            FROM {_TRIALS} JOIN trials o ON o.trial_id = t.trial_id
            WHERE {_OURS} AND (CAST(o.state AS VARCHAR(8)) <> CASE
                    WHEN t.state = 'waiting' THEN 'WAITING'
                    WHEN t.state = 'running' THEN 'RUNNING'
                    WHEN t.outcome IN ('complete', 'converged') THEN 'COMPLETE'
                    WHEN t.outcome IN ('pruned', 'diverged') THEN 'PRUNED'
                    ELSE 'FAIL' END
               OR (o.datetime_complete IS NULL) <> (t.ended_at IS NULL)
               OR o.datetime_complete <> t.ended_at)
        """,
        message="is {state} ({outcome}, {ended_at}), and {seen} ({end_seen}) to Optuna",
    ),
    Rule(
        name="optuna-value",
        query=f"""
            WITH last AS (
                SELECT r.trial_id, max(r.step) AS step FROM tuner_reports r
                WHERE r.lineage AND r.value IS NOT NULL GROUP BY r.trial_id
            ), wanted AS (
                SELECT t.trial_id, CASE
                    WHEN t.outcome IN ('complete', 'converged') THEN t.value
                    WHEN t.outcome = 'pruned' THEN max(r.value) END AS value
                FROM tuner_trials t LEFT JOIN last ON last.trial_id = t.trial_id
                LEFT JOIN tuner_reports r
                    ON r.trial_id = last.trial_id AND r.step = last.step AND r.lineage
                GROUP BY t.trial_id, t.outcome, t.value
            )
            SELECT {_WHOSE}, w.value AS wanted, v.value AS seen FROM {_TRIALS}
            JOIN wanted w ON w.trial_id = t.trial_id
            LEFT JOIN trial_values v ON v.trial_id = t.trial_id AND v.objective = 0
            WHERE {_OURS} AND ((w.value IS NULL) <> (v.trial_id IS NULL)
               OR (w.value IS NOT NULL AND v.value IS NULL) OR w.value <> v.value)
        """,
        message="has the value {wanted}, and {seen} to Optuna",
    ),
    Rule(
        name="optuna-curve",
        query=f"""
            WITH newest AS (
                SELECT trial_id, step, max(attempt) AS attempt FROM tuner_reports
                GROUP BY trial_id, step
            )
            SELECT {_WHOSE}, min(r.step) AS step, count(*) AS found FROM newest n
            JOIN tuner_reports r
                ON r.trial_id = n.trial_id AND r.step = n.step AND r.attempt = n.attempt
            JOIN tuner_trials t ON t.trial_id = n.trial_id
            JOIN studies s ON {_LIVE} AND s.study_id = t.study_id
            LEFT JOIN trial_intermediate_values i ON i.trial_id = n.trial_id AND i.step = n.step
            WHERE i.trial_id IS NULL OR (r.value IS NULL) <> (i.intermediate_value IS NULL)
               OR r.value <> i.intermediate_value
               OR CAST(i.intermediate_value_type AS VARCHAR(7)) <> CASE r.kind
                    WHEN 'ok' THEN 'FINITE' WHEN 'nan' THEN 'NAN' WHEN 'inf' THEN 'INF_POS'
                    ELSE 'INF_NEG' END
            GROUP BY s.study_name, t.number
        """,
        message="has {found} reports that Optuna does not show so, first at step {step}",
    ),
    Rule(
        name="optuna-curve-extra",
        query=f"""
            SELECT {_WHOSE}, min(i.step) AS step, count(*) AS found FROM {_TRIALS}
            JOIN trial_intermediate_values i ON i.trial_id = t.trial_id
            LEFT JOIN tuner_reports r ON r.trial_id = i.trial_id AND r.step = i.step
            WHERE r.trial_id IS NULL GROUP BY s.study_name, t.number
        """,
        message="has {found} values to Optuna that no one reported, first at step {step}",
    ),
)

RULES = (*STUDIES, *TRIALS, *OPTUNA)
