"""The tables: Optuna's own, and ours beside them. All times are naive UTC."""

from __future__ import annotations

from optuna.storages._rdb import models as optuna_models
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

optuna_studies: Table = optuna_models.StudyModel.__table__
optuna_directions: Table = optuna_models.StudyDirectionModel.__table__
optuna_study_user_attrs: Table = optuna_models.StudyUserAttributeModel.__table__
optuna_study_system_attrs: Table = optuna_models.StudySystemAttributeModel.__table__
optuna_trials: Table = optuna_models.TrialModel.__table__
optuna_trial_user_attrs: Table = optuna_models.TrialUserAttributeModel.__table__
optuna_trial_system_attrs: Table = optuna_models.TrialSystemAttributeModel.__table__
optuna_heartbeats: Table = optuna_models.TrialHeartbeatModel.__table__
optuna_params: Table = optuna_models.TrialParamModel.__table__
optuna_values: Table = optuna_models.TrialValueModel.__table__
optuna_intermediate: Table = optuna_models.TrialIntermediateValueModel.__table__

metadata = MetaData()


studies = Table(
    "tuner_studies",
    metadata,
    Column(
        "study_id", ForeignKey(optuna_studies.c.study_id), primary_key=True, autoincrement=False
    ),
    Column("spec", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("stopping", String(20)),
    Column("ended_why", String(20)),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("ended_at", DateTime),
)

trials = Table(
    "tuner_trials",
    metadata,
    Column("trial_id", ForeignKey(optuna_trials.c.trial_id), primary_key=True, autoincrement=False),
    Column("study_id", ForeignKey(studies.c.study_id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(20), nullable=False),
    Column("outcome", String(20)),
    Column("value", Double),
    Column("reason", Text, nullable=False),
    Column("origin", String(20), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("lr_factor", Double, nullable=False),
    Column("marks", Text, nullable=False),
    Column("checkpoint", Text),
    Column("share", Double),
    Column("note", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("started_at", DateTime),
    Column("ended_at", DateTime),
    Column("hand", Text),
    UniqueConstraint("study_id", "number", name="tuner_trials_number"),
)

specs = Table(
    "tuner_specs",
    metadata,
    Column("study_id", ForeignKey(studies.c.study_id), primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("spec", Text, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("by", Text, nullable=False),
)

attempts = Table(
    "tuner_attempts",
    metadata,
    Column("trial_id", ForeignKey(trials.c.trial_id), primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("token", String(200), nullable=False, unique=True),
    Column("worker_id", Text),
    Column("resumed_step", Integer, nullable=False),
    Column("started_at", DateTime, nullable=False),
    Column("ended_at", DateTime),
    Column("ended_why", String(20)),
    Column("token_id", String(40)),
    Column("environment", String(64)),
    Column("devices", Text),
    Index("tuner_attempts_ended", "ended_at"),
)

environments = Table(
    "tuner_environments",
    metadata,
    Column("study_id", ForeignKey(studies.c.study_id), primary_key=True, autoincrement=False),
    Column("digest", String(64), primary_key=True),
    Column("kind", String(20), nullable=False),
    Column("body", Text, nullable=False),
)

reports = Table(
    "tuner_reports",
    metadata,
    Column("trial_id", ForeignKey(trials.c.trial_id), primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("value", Double),
    Column("kind", String(4), nullable=False),
    Column("lr_factor", Double, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("lineage", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "tuner_checkpoints",
    metadata,
    Column("trial_id", ForeignKey(trials.c.trial_id), primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("at", DateTime, nullable=False),
)

artifacts = Table(
    "tuner_artifacts",
    metadata,
    Column("trial_id", ForeignKey(trials.c.trial_id), primary_key=True, autoincrement=False),
    Column("name", String(400), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("at", DateTime, nullable=False),
)

stores = Table(
    "tuner_stores",
    metadata,
    Column("store_id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("at", DateTime, nullable=False),
)

events = Table(
    "tuner_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("study_id", ForeignKey(studies.c.study_id), nullable=False),
    Column("number", Integer),
    Column("attempt", Integer),
    Column("step", Integer),
    Column("kind", String(20), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("data", Text, nullable=False),
    Index("tuner_events_study", "study_id", "seq"),
    Index("tuner_events_trial", "study_id", "number", "seq"),
)

numbers = Table(
    "tuner_numbers",
    metadata,
    Column("kind", String(20), primary_key=True),
    Column("highest", BigInteger, nullable=False),
)

workers = Table(
    "tuner_workers",
    metadata,
    Column("worker_id", String(200), primary_key=True),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("gpus", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("allow", Text, nullable=False),
    Column("tasks", Text, nullable=False),
    Column("registered_at", DateTime, nullable=False),
    Column("seen_at", DateTime, nullable=False),
    Column("token_id", String(40)),
    Column("project", Text),
    Column("allow_commands", Text),
    Column("allow_env", Text),
)

tokens = Table(
    "tuner_tokens",
    metadata,
    Column("token_id", String(40), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", String(20), nullable=False),
    Column("project", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
    Column("expires_at", DateTime),
)

sessions = Table(
    "tuner_sessions",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("digest", String(64)),
    Column("proof", String(64), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("ends_at", DateTime, nullable=False),
)

audit = Table(
    "tuner_audit",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", DateTime, nullable=False),
    Column("who", Text, nullable=False),
    Column("token_id", String(40), nullable=False),
    Column("address", Text, nullable=False),
    Column("action", String(40), nullable=False),
    Column("study_id", Integer),
    Column("study", Text),
    Column("detail", Text, nullable=False),
    Index("tuner_audit_study", "study_id", "seq"),
)

replies = Table(
    "tuner_replies",
    metadata,
    Column("key", String(500), primary_key=True),
    Column("digest", String(200), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", DateTime, nullable=False),
)

webhooks = Table(
    "tuner_webhooks",
    metadata,
    Column("webhook_id", String(40), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("topics", Text, nullable=False),
    Column("project", Text),
    Column("study_id", Integer),
    Column("active", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("failing_since", DateTime),
    Column("deliveries", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
)

webhook_deliveries = Table(
    "tuner_webhook_deliveries",
    metadata,
    Column("webhook_id", ForeignKey(webhooks.c.webhook_id), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("message", String(80), nullable=False),
    Column("topic", String(40), nullable=False),
    Column("seq", BigInteger),
    Column("attempt", Integer, nullable=False),
    Column("at", DateTime, nullable=False),
    Column("took_ms", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("body", Text, nullable=False),
)

remarks = Table(
    "tuner_remarks",
    metadata,
    Column("study_id", ForeignKey(studies.c.study_id), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", DateTime, nullable=False),
)
"""Number -1 is the study's own."""

views = Table(
    "tuner_views",
    metadata,
    Column("view_id", String(40), primary_key=True),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("project", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", DateTime, nullable=False),
)

owner = Table(
    "tuner_owner",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("since", DateTime, nullable=False),
    Column("expires_at", DateTime, nullable=False),
)
