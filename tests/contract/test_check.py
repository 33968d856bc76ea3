"""Every rule of `tuner db check`: a sound database passes, and one that breaks it is caught."""

from __future__ import annotations

import asyncio
import math
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import psycopg
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from storage import Transaction, open_ledger
from storage.check import Finding, check
from storage.check.rules import RULES
from storage.stores import FolderStore
from tests.contract.ledger_database import execute, with_ledger
from tests.contract.sample import WEIGHTS, lay_sample
from tests.disks import Broken
from tests.postgres import Postgres
from tuner.errors import InvalidInput, NotFound, SchemaMismatch

OF_0 = "trial_id = (SELECT trial_id FROM tuner_trials WHERE study_id = 1 AND number = 0)"
COPY_REPORT = """
    INSERT INTO tuner_reports SELECT trial_id, {attempt}, {step}, value, kind, lr_factor, metrics,
    at, {lineage} FROM tuner_reports WHERE step = 1 AND {of_0}
"""
# name of the rule, trial it names, and the statements that break it
BROKEN: list[tuple[str, int | None, list[str]]] = [
    ("study-over", None, ["UPDATE tuner_studies SET ended_at = NULL WHERE study_id = 2"]),
    ("study-over-trial-open", 4, ["UPDATE tuner_studies SET state = 'cancelled', "
                                  "ended_at = '2026-01-01' WHERE study_id = 1"]),
    ("numbers", None, ["UPDATE trials SET number = 99 WHERE study_id = 1 AND number = 5",
                       "UPDATE tuner_trials SET number = 99 WHERE study_id = 1 AND number = 5"]),
    ("terminal-state", 0, [f"UPDATE tuner_trials SET outcome = NULL WHERE {OF_0}"]),
    ("terminal-state", 0, [f"UPDATE tuner_trials SET ended_at = NULL WHERE {OF_0}"]),
    ("terminal-state", 5, ["UPDATE tuner_trials SET state = 'lost' WHERE number = 5"]),
    ("ended-once", 0, ["INSERT INTO tuner_events SELECT 99, study_id, number, attempt, step, kind,"
                       " at, data FROM tuner_events WHERE study_id = 1 AND number = 0"]),
    ("held-after-end", 0, [f"UPDATE tuner_attempts SET ended_at = NULL, ended_why = NULL "
                           f"WHERE attempt = 2 AND {OF_0}"]),
    ("held-twice", 0, [f"UPDATE tuner_attempts SET ended_at = NULL, ended_why = NULL "
                       f"WHERE {OF_0}"]),
    ("held", 4, ["UPDATE tuner_attempts SET ended_at = '2026-01-01', ended_why = 'lost'"]),
    ("held", 4, ["UPDATE tuner_trials SET state = 'waiting' WHERE number = 4"]),
    ("held", 4, ["UPDATE tuner_trials SET attempt = 2 WHERE number = 4"]),
    ("attempt-numbers", 0, [f"DELETE FROM tuner_attempts WHERE attempt = 1 AND {OF_0}"]),
    ("attempt-numbers", 0, [f"UPDATE tuner_attempts SET attempt = 3 WHERE attempt = 2 AND {OF_0}"]),
    ("attempt-end", 0, [f"UPDATE tuner_attempts SET ended_why = NULL WHERE {OF_0}"]),
    ("report-attempt", 0, [COPY_REPORT.format(attempt=7, step=9, lineage="false", of_0=OF_0)]),
    ("lineage", 0, [COPY_REPORT.format(attempt=2, step=1, lineage="true", of_0=OF_0)]),
    ("event-trial", 77, ["UPDATE tuner_events SET number = 77 WHERE study_id = 2"]),
    ("optuna-trial", 6, ["INSERT INTO trials (trial_id, study_id, number, state) "
                         "VALUES (99, 1, 6, 'WAITING')"]),
    ("optuna-state", 0, [f"UPDATE trials SET state = 'PRUNED' WHERE {OF_0}"]),
    ("optuna-state", 0, [f"UPDATE trials SET datetime_complete = '2026-01-01' WHERE {OF_0}"]),
    ("optuna-value", 0, [f"UPDATE trial_values SET value = 7 WHERE {OF_0}"]),
    ("optuna-value", 1, ["DELETE FROM trial_values WHERE trial_id IN "
                         "(SELECT trial_id FROM tuner_trials WHERE number = 1)"]),
    ("optuna-curve", 0, [f"UPDATE trial_intermediate_values SET intermediate_value = 7 "
                         f"WHERE step = 2 AND {OF_0}"]),
    ("optuna-curve", 2, ["UPDATE trial_intermediate_values SET intermediate_value_type = 'INF_POS' "
                         "WHERE intermediate_value_type = 'NAN'"]),
    ("optuna-curve", 0, [f"DELETE FROM trial_intermediate_values WHERE {OF_0}"]),
    ("optuna-curve-extra", 0, [f"DELETE FROM tuner_reports WHERE step = 2 AND {OF_0}"]),
    ("spec", None, ["UPDATE tuner_studies SET spec = '{}' WHERE study_id = 2"]),
    ("params", 0, [f"UPDATE trial_params SET param_value = 99 "
                   f"WHERE param_name = 'lr' AND {OF_0}"]),
    ("params", 0, [f"DELETE FROM trial_params WHERE param_name = 'lr' AND {OF_0}"]),
    ("params", 0, [f"UPDATE trial_params SET param_value = 9 "
                   f"WHERE param_name = 'batch_size' AND {OF_0}"]),
]  # fmt: skip
ONLY_SQLITE = [
    ("foreign-key", None, ["DELETE FROM studies WHERE study_id = 2"]),
]
ONLY_POSTGRESQL = [
    ("sequence", None, ["SELECT setval('trials_trial_id_seq', 1)"]),
    ("constraint", None, ["ALTER TABLE tuner_events ADD CONSTRAINT c CHECK (seq > 0) NOT VALID"]),
]

ONE: dict[str, BaseDistribution] = {"x": FloatDistribution(0.0, 1.0)}
Copy = Callable[[], str]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def sample(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Copy, Path]]:
    """Give what copies a sound database, and its artifact folder."""
    folder = tmp_path_factory.mktemp("sample")
    if request.param == "sqlite":
        lay_sample(f"sqlite:///{folder}/tuner.db", folder / "artifacts")
        yield lambda: _copy_file(folder), folder / "artifacts"
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name, copies = postgres.new_database(), []
    lay_sample(postgres.url(name), folder / "artifacts")

    def copy() -> str:
        copies.append(f"copy{secrets.token_hex(8)}")
        with psycopg.connect(_plain(postgres.url("postgres")), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {copies[-1]} TEMPLATE {name}".encode())
        return postgres.url(copies[-1])

    yield copy, folder / "artifacts"
    for made in (*copies, name):
        postgres.drop_database(made)


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def _copy_file(folder: Path) -> str:
    target = folder / f"{secrets.token_hex(8)}.db"
    shutil.copy(folder / "tuner.db", target)
    return f"sqlite:///{target}"


def rules(findings: list[Finding]) -> set[tuple[str, int | None]]:
    return {(f.rule, f.trial) for f in findings}


def test_a_sound_database_passes(sample: tuple[Copy, Path]) -> None:
    copy, artifacts = sample
    assert check(copy(), artifacts=artifacts, hashes=True) == []


def test_every_broken_rule_is_found(sample: tuple[Copy, Path]) -> None:
    copy, _ = sample
    only = ONLY_SQLITE if copy().startswith("sqlite") else ONLY_POSTGRESQL
    for rule, trial, statements in [*BROKEN, *only]:
        url = copy()
        execute(url, *statements)
        found = check(url)
        assert (rule, trial) in rules(found), (rule, statements, found)
        assert all(f.study in ("s", "over", None) and f.message for f in found)


def test_every_rule_has_a_case() -> None:
    assert {r.name for r in RULES} <= {rule for rule, _, _ in BROKEN}


@pytest.mark.parametrize(
    ("damage", "hashes", "words"),
    [
        (lambda f: f.unlink(), False, "is missing"),
        (lambda f: f.write_bytes(WEIGHTS[:-1]), False, "has 17 bytes instead of 18"),
        (lambda f: f.write_bytes(WEIGHTS[::-1]), True, "has another content"),
    ],
)
def test_a_damaged_checkpoint_is_found(
    sample: tuple[Copy, Path],
    tmp_path: Path,
    damage: Callable[[Path], object],
    hashes: bool,
    words: str,
) -> None:
    copy, artifacts = sample
    shutil.copytree(artifacts, tmp_path / "artifacts")
    damage(tmp_path / "artifacts/1/0/1-1.safetensors")
    (found,) = check(copy(), artifacts=tmp_path / "artifacts", hashes=hashes)
    assert (found.rule, found.study, found.trial) == ("checkpoint", "s", 0)
    assert words in found.message


def test_one_that_can_not_be_reached_or_read_is_found(
    sample: tuple[Copy, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, artifacts = sample
    shutil.copytree(artifacts, tmp_path / "artifacts")
    file = tmp_path / "artifacts/1/0/1-1.safetensors"
    monkeypatch.setattr(FolderStore, "open", lambda *_: Broken())
    (found,) = check(copy(), artifacts=tmp_path / "artifacts", hashes=True)
    assert found.message.endswith("can't be read")
    file.unlink()
    file.symlink_to(file)
    (found,) = check(copy(), artifacts=tmp_path / "artifacts")
    assert found.message.endswith("can't be reached")


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd"])
def test_a_checkpoint_outside_of_the_folder_is_not_opened(
    sample: tuple[Copy, Path], path: str
) -> None:
    copy, artifacts = sample
    url = copy()
    execute(
        url,
        f"UPDATE tuner_checkpoints SET path = '{path}'",
        f"""UPDATE tuner_trials SET checkpoint = '[1, 1, "x", 3, "{path}"]'
            WHERE checkpoint IS NOT NULL""",
    )
    (found,) = check(url, artifacts=artifacts)
    assert "outside of the artifact store" in found.message


def test_a_checkpoint_nobody_registered_is_found(sample: tuple[Copy, Path]) -> None:
    copy, artifacts = sample
    url = copy()
    execute(url, "DELETE FROM tuner_checkpoints")
    (found,) = check(url, artifacts=artifacts)
    assert "is not registered" in found.message


def test_studies_of_plain_optuna_beside_ours_are_left_alone(sample: tuple[Copy, Path]) -> None:
    copy, artifacts = sample
    url = copy()
    storage = RDBStorage(url)
    study = optuna.create_study(storage=storage, study_name="theirs")
    study.add_trial(create_trial(value=math.inf, intermediate_values={0: math.nan, 7: 1.0}))
    study.add_trial(create_trial(state=TrialState.PRUNED, params={"x": 1.0}, distributions=ONE))
    study.enqueue_trial({})
    storage.remove_session()
    storage.engine.dispose()
    assert check(url, artifacts=artifacts) == []


def test_a_live_server_is_no_obstacle(sample: tuple[Copy, Path]) -> None:
    copy, artifacts = sample
    url = copy()

    def event(tx: Transaction) -> None:
        tx.put_reply("k2", "d", 200, b"", tx.study(1).created_at)

    async def run() -> None:
        async with open_ledger(url) as ledger:
            checking = asyncio.create_task(asyncio.to_thread(check, url, artifacts=artifacts))
            while not checking.done():
                await ledger.write(event)
                await asyncio.sleep(0)
            assert await checking == []

    asyncio.run(run())


def test_a_damaged_file_is_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "tuner.db"
    lay_sample(f"sqlite:///{file}", tmp_path / "artifacts")
    with sqlite3.connect(file) as connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'tuner_trials'"
        ).fetchone()
    connection.close()
    with file.open("r+b") as raw:
        raw.seek((root - 1) * size)
        raw.write(b"\x00" * size)
    assert {f.rule for f in check(f"sqlite:///{file}")} == {"integrity"}


def test_what_is_no_database_of_ours_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no database"):
        check(f"sqlite:///{tmp_path}/absent.db")
    assert not (tmp_path / "absent.db").exists()
    (tmp_path / "text.db").write_text("not a database " * 100)
    with pytest.raises(InvalidInput, match="not an SQLite database"):
        check(f"sqlite:///{tmp_path}/text.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(SchemaMismatch, match="no tables of tuner"):
        check(f"sqlite:///{tmp_path}/empty.db")


def test_another_schema_is_refused(url: str) -> None:
    with_ledger(url, lambda ledger: ledger.write(lambda tx: None))
    execute(url, "UPDATE tuner_alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaMismatch, match="does not know"):
        check(url)
