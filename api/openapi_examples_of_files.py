"""Examples of requests and replies about files of trials."""

from __future__ import annotations

from typing import Any

_AT = "2026-03-01T12:00:00Z"
_SHA256 = "9f86d081" * 8
_UPLOAD = "0000000000000017"
_FILE = {"attempt": 1, "sha256": _SHA256, "size": 20480}
_CHECKPOINT = {"attempt": 1, "step": 6, "sha256": _SHA256, "size": 20480}
_ARTIFACT = {
    "name": "plots/loss.png",
    "attempt": 1,
    "size": 20480,
    "sha256": _SHA256,
    "at": _AT,
    "preview": "image",
}
_PLACE = {
    "upload": _UPLOAD,
    "url": "https://bucket.s3.amazonaws.com/tuner/1/3/1-6-0000000000000017.safetensors?...",
    "headers": {"Content-Length": "20480", "x-amz-checksum-sha256": "n4bQgZ+G0IGfhtCBn4bQgQ=="},
    "expires_s": 300.0,
}

REQUESTS: dict[str, dict[str, Any]] = {
    "ask_upload": {**_FILE, "step": 6},
    "register_checkpoint": {**_FILE, "upload": _UPLOAD},
    "register_artifact": {**_FILE, "upload": _UPLOAD, "name": "plots/loss.png"},
    "reject_checkpoint": {
        "attempt": 1,
        "sha256": _SHA256,
        "reason": "the checkpoint of step 6 came with a wrong hash",
    },
}
REPLIES: dict[str, Any] = {
    "ask_upload": _PLACE,
    "put_checkpoint": _CHECKPOINT,
    "register_checkpoint": _CHECKPOINT,
    "reject_checkpoint": {"state": "waiting", "outcome": None},
    "put_artifact": _ARTIFACT,
    "register_artifact": _ARTIFACT,
    "list_artifacts": {"items": [_ARTIFACT], "next_cursor": None},
    "list_checkpoints": {"items": [_CHECKPOINT | {"at": _AT, "last": True, "best": True}]},
}
