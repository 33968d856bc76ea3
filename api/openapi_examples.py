"""Examples in the OpenAPI description, by operation; a test holds them against the schemas."""

from __future__ import annotations

from typing import Any

from api import openapi_examples_by_hand, openapi_examples_of_files
from api.openapi_environment import CODE, MACHINE, PACKAGES

LEASE = "l1-3-1-Jb0Hf2nXcQ9rT5vW8yZa"
WORKER = "w-q3kX0bJ8aQzL"
WEBHOOK = "wh_4fJq0ZrT"
RECEIVER = "https://hooks.example.com/tuner"
TOKEN = "tnr_" + 43 * "x"
_AT, _LATER = "2026-01-05T09:00:00Z", "2026-01-05T09:07:30Z"
_PARAMS = {"lr": 0.05, "width": 64}
_HELD = {"lease": LEASE, "attempt": 1}
_DOCUMENT = {
    "name": "digits",
    "objective": {"metric": "val_loss", "mode": "min"},
    "space": {"lr": {"min": 0.001, "max": 1.0, "log": True}, "width": {"values": [32, 64, 128]}},
    "policies": [{"name": "halve_on_plateau", "patience": 2}],
    "budget": {"trials": 20, "steps": 10},
    "run": "external",
}

_NODE = {
    "name": "gpu-box",
    "host": "gpu-box.example",
    "slots": 2,
    "gpus": ["NVIDIA H100"],
    "labels": {"room": "3"},
    "allow": ["mypackage.train:*"],
}

REQUESTS: dict[str, dict[str, Any]] = {
    **openapi_examples_of_files.REQUESTS,
    **openapi_examples_by_hand.REQUESTS,
    "submit_study": _DOCUMENT,
    "adopt_study": {
        "document": {
            "name": "from-optuna",
            "objective": {"metric": "val_loss"},
            "space": {"lr": {"min": 0.001, "max": 1.0, "log": True}},
            "budget": {"trials": 20},
            "run": "external",
        },
        "source": "sqlite:///optuna.db",
    },
    "adopt_trials": {
        "first": 0,
        "distributions": [
            '{"name": "FloatDistribution", "attributes": '
            '{"step": null, "low": 0.001, "high": 1.0, "log": true}}'
        ],
        "trials": [
            {
                "state": "complete",
                "value": 0.31,
                "params": {"lr": 0.05},
                "distributions": {"lr": 0},
                "steps": [1, 2],
                "values": [0.4, 0.31],
                "started_at": _AT,
                "ended_at": _LATER,
            }
        ],
        "last": True,
    },
    "change_study": {"priority": 50, "parallel": 4},
    "extend_study": {"trials": 10},
    "clone_study": {"name": "digits-wide", "changes": {"space": {"width": {"values": [256]}}}},
    "enqueue_trial": {"params": _PARAMS},
    "ask_trial": {"wait_s": 0.0},
    "register_worker": {**_NODE, "tasks": ["digits-mlp"]},
    "acquire_leases": {"worker_id": WORKER, "n": 2, "wait_s": 0.0},
    "report": {
        "reports": [_HELD | {"step": 1, "value": 0.42, "metrics": {"accuracy": 0.87}}],
    },
    "record_environment": {
        "attempt": 1,
        "machine": MACHINE,
        "packages": PACKAGES,
        "code": CODE,
    },
    "heartbeat": {"leases": [_HELD]},
    "finish_trial": {"attempt": 1, "outcome": "complete", "value": 0.31},
    "release_trial": {"attempt": 1, "reason": "the machine is needed"},
    "send_logs": {"logs": [_HELD | {"first": 0, "lines": [{"age_s": 0.2, "text": "epoch 1"}]}]},
    "create_token": {"name": "gpu-nodes", "role": "worker", "expires_s": 7_776_000},
    "log_in": {"token": TOKEN},
    "create_webhook": {"url": RECEIVER, "events": ["study.finished", "trial.best"]},
    "change_webhook": {"active": False},
    "test_webhook": {},
}

_BEST = {
    "number": 3,
    "value": 0.31,
    "step": 10,
    "params": _PARAMS,
    "schedule": [{"step": 0, "lr_factor": 1.0}, {"step": 6, "lr_factor": 0.5}],
    "outcome": "complete",
    "origin": "sampled",
    "metrics": {"accuracy": 0.91},
}
_STUDY = {
    "id": 1,
    "name": "digits",
    "state": "running",
    "spec": _DOCUMENT,
    "created_at": _AT,
    "started_at": _AT,
    "counts": {"waiting": 0, "running": 1, "complete": 3},
    "steps_done": 36,
    "steps_saved": 0,
    "halvings": 1,
    "best": _BEST,
}
_TRIAL = {
    "number": 3,
    "state": "ended",
    "outcome": "complete",
    "reason": "",
    "origin": "sampled",
    "params": _PARAMS,
    "value": 0.31,
    "last_value": 0.31,
    "last_step": 10,
    "lr_factor": 0.5,
    "attempt": 1,
    "failures": 0,
    "seed": 1094795585,
    "worker_id": None,
    "created_at": _AT,
    "started_at": _AT,
    "ended_at": _LATER,
}
_WAITING = _TRIAL | {
    "number": 4,
    "state": "waiting",
    "outcome": None,
    "origin": "enqueued",
    "value": None,
    "last_value": None,
    "last_step": 0,
    "lr_factor": 1.0,
    "attempt": 0,
    "started_at": None,
    "ended_at": None,
}
_EVENT = {
    "seq": 17,
    "kind": "halved",
    "at": _LATER,
    "study_id": 1,
    "number": 3,
    "attempt": 1,
    "step": 6,
    "data": {"lr_factor": 0.5},
}
_FINDING = _EVENT | {
    "kind": "finding",
    "data": {
        "rule": "update_ratio_low",
        "reason": "update ratio 3e-5 for 5 reports: the rate is about 30 times too low",
        "measure": 3e-05,
        "reports": 5,
    },
}
_GRANT = {
    "lease": LEASE,
    "study_id": 1,
    "study": "digits",
    "number": 3,
    "attempt": 1,
    "params": _PARAMS,
    "seed": 1094795585,
    "steps": 10,
    "metric": "val_loss",
    "mode": "min",
    "run": "external",
    "lr_factor": 1.0,
    "resume": None,
}
_LEASES = {"leases": [_GRANT], "idle": False, "heartbeat_s": 10.0}
_DECIDED = {
    "results": [
        {"decision": {"action": "continue", "lr_factor": 0.5, "reason": "", "outcome": None}}
    ]
}
_WORKER = {
    "worker_id": WORKER,
    **_NODE,
    "alive": True,
    "seen_at": _LATER,
    "running": ["digits#3"],
}
_TOKEN = {
    "token_id": "t-8Yb2kQw1",
    "name": "gpu-nodes",
    "role": "worker",
    "project": None,
    "created_by": "admin",
    "created_at": _AT,
    "expires_at": _LATER,
    "expired": False,
}
_WEBHOOK = {
    "id": WEBHOOK,
    "url": RECEIVER,
    "events": ["study.finished", "trial.best"],
    "active": True,
    "cursor": 17,
    "created_by": "admin",
    "created_at": _AT,
}
_DELIVERY = {
    "number": 1,
    "message": f"{WEBHOOK}-17",
    "event": "study.finished",
    "seq": 17,
    "attempt": 1,
    "delivered": True,
    "at": _LATER,
    "took_ms": 84,
    "status": 204,
}
_SESSION = {"name": "ann", "role": "submitter", "project": None, "csrf": 43 * "c"}
_PROJECT = {
    "project": "default",
    "studies": 1,
    "parallel": {"used": 1, "limit": 8},
    "queued": {"used": 1, "limit": None},
    "artifact_bytes": {"used": 20480, "limit": None},
}
_ENTRY = {
    "seq": 5,
    "at": _AT,
    "who": "ann",
    "token_id": "t-8Yb2kQw1",
    "address": "192.0.2.7",
    "action": "submit",
    "study_id": 1,
    "study": "digits",
    "detail": {},
}
_ADOPTED = {"id": 2, "name": "from-optuna", "trials": 1, "open": True, "warnings": []}

_STAIRS = {"number": [3], "n": [2], "steps": [20], "value": [0.31]}

REPLIES: dict[str, Any] = {
    **openapi_examples_of_files.REPLIES,
    **openapi_examples_by_hand.REPLIES,
    "healthz": {"status": "ok"},
    "readyz": {"status": "ok"},
    "submit_study": _STUDY,
    "adopt_study": _ADOPTED | {"trials": 0, "open": False},
    "adopt_trials": _ADOPTED,
    "list_studies": {"items": [_STUDY], "next_cursor": None},
    "get_study": _STUDY,
    "change_study": _STUDY,
    "delete_study": _STUDY | {"state": "finished", "ended_why": "budget", "ended_at": _LATER},
    "extend_study": _STUDY,
    "clone_study": _STUDY | {"id": 2, "name": "digits-wide"},
    "get_best": _BEST,
    "get_board": {
        "items": [
            {
                "id": 1,
                "name": "digits",
                "rank": 1,
                "state": "running",
                "stopping": None,
                "ended_why": None,
                "note": "",
                "project": "default",
                "owner": "ann",
                "priority": 0,
                "metric": "val_loss",
                "mode": "min",
                "created": _AT,
                "budget": 20,
                "started": 5,
                "ended": 3,
                "running": 2,
                "failed": 0,
                "best": 0.31,
                "spark": _STAIRS,
                "eta_s": [40.0, 90.0],
            }
        ],
        "next_cursor": None,
    },
    "get_progress": {
        "total": 1,
        "shown": 1,
        "points": {
            "number": [3],
            "n": [2],
            "steps": [20],
            "value": [0.31],
            "outcome": ["complete"],
            "origin": ["sampled"],
        },
        "best": _STAIRS,
        "folk": 0.4,
        "epochs": 20,
        "steps_saved": 7,
        "since_best_trials": 1,
        "since_best_s": 12.5,
        "eta_s": [40.0, 90.0],
        "crew": {"workers": 2, "slots": 4, "gpus": 2, "busy": 3, "here": 3},
    },
    "get_curves": {
        "total": 1,
        "shown": 1,
        "curves": [
            {
                "number": 3,
                "state": "ended",
                "outcome": "complete",
                "origin": "sampled",
                "attempt": 1,
                "step": [1, 2],
                "value": [0.42, 0.31],
                "lr_factor": [1.0, 0.5],
                "thinned": False,
            }
        ],
        "band": None,
    },
    "get_columns": {
        "total": 1,
        "rows": 1,
        "columns": {"number": [3], "outcome": ["complete"], "value": [0.31]},
        "params": {"lr": [0.05], "width": [64]},
    },
    "get_importance": {
        "state": "ready",
        "why": "",
        "n": 40,
        "at": _AT,
        "behind": 2,
        "items": [{"name": "lr", "share": 0.8}, {"name": "width", "share": 0.2}],
    },
    "get_endings": {
        "trials": 9,
        "trained": 120,
        "full": 27,
        "saved": {"pruned": 96},
        "rungs": [
            {
                "bracket": 0,
                "rung": 0,
                "step": 3,
                "reached": 9,
                "pruned": 4,
                "cutoff": 0.42,
                "saved": 96,
            }
        ],
        "causes": [
            {
                "outcome": "failed",
                "cause": "ValueError: width … is odd",
                "n": 1,
                "numbers": [5],
                "reason": "ValueError: width 7 is odd",
                "steps": 0,
            }
        ],
    },
    "list_decisions": {"items": [_EVENT], "next_cursor": None},
    "list_findings": {"items": [_FINDING], "next_cursor": None},
    "list_events": {"items": [_EVENT], "next_cursor": None},
    "list_trials": {"items": [_TRIAL], "next_cursor": None},
    "enqueue_trial": _WAITING,
    "stop_trial": _TRIAL | {"outcome": "cancelled", "reason": "stopped by hand by ann"},
    "cut_rate": _TRIAL | {"state": "running", "outcome": None, "value": None},
    "get_trial": _TRIAL
    | {
        "reports": [
            {
                "attempt": 1,
                "step": 1,
                "value": 0.42,
                "status": "ok",
                "lr_factor": 1.0,
                "metrics": {"accuracy": 0.87},
                "at": _AT,
            }
        ],
        "events": [_EVENT],
    },
    "register_worker": {"worker_id": WORKER, "lease_s": 30.0, "heartbeat_s": 10.0},
    "list_workers": {"items": [_WORKER]},
    "drain_worker": _WORKER | {"drained_by": "ann"},
    "undrain_worker": _WORKER,
    "list_attempts": {
        "studies": {"1": "digits"},
        "columns": {
            "study_id": [1],
            "number": [3],
            "attempt": [1],
            "worker_id": [WORKER],
            "started": [1767603600.0],
            "ended": [None],
            "end": [None],
            "outcome": [None],
            "devices": [["0"]],
        },
        "next_cursor": None,
    },
    "acquire_leases": _LEASES,
    "ask_trial": _LEASES,
    "report": _DECIDED,
    "heartbeat": _DECIDED | {"known": True},
    "finish_trial": {"state": "ended", "outcome": "complete"},
    "release_trial": {"state": "waiting", "outcome": None},
    "send_logs": {"results": [{"next": 1, "problem": None}]},
    "get_log": "epoch 1\n",
    "record_environment": {"missing": []},
    "list_environments": {
        "items": [
            {
                "attempt": 1,
                "started_at": _AT,
                "machine": MACHINE,
                "packages": PACKAGES,
                "code": CODE,
            }
        ],
        "next_cursor": None,
    },
    "list_specs": {
        "items": [{"version": 1, "spec": _DOCUMENT, "at": _AT, "by": "ann"}],
        "next_cursor": None,
    },
    "list_all_events": {"items": [_EVENT], "next_cursor": None},
    "get_schema": {
        "document": {"title": "StudySpec", "type": "object", "properties": {}},
        "tasks": [
            {
                "name": "digits-mlp",
                "description": "Handwritten digits",
                "steps": 27,
                "objectives": {"val_loss": "min", "val_accuracy": "max"},
            }
        ],
    },
    "list_projects": {"items": [_PROJECT], "next_cursor": None},
    "list_tokens": {"items": [_TOKEN], "next_cursor": None},
    "create_token": _TOKEN | {"secret": TOKEN},
    "revoke_token": _TOKEN,
    "list_audit": {"items": [_ENTRY], "next_cursor": None},
    "log_in": _SESSION,
    "show_session": _SESSION,
    "create_webhook": _WEBHOOK | {"secret": "whsec_" + 32 * "A" + "="},
    "list_webhooks": {"items": [_WEBHOOK]},
    "get_webhook": _WEBHOOK,
    "change_webhook": _WEBHOOK | {"active": False},
    "remove_webhook": _WEBHOOK,
    "test_webhook": _DELIVERY | {"event": "test", "seq": None},
    "list_deliveries": {"items": [_DELIVERY]},
    "metrics": "tuner_owner 1.0\ntuner_leases 1.0\n",
    "export_study": "name: digits\nrun: external\n",
}
