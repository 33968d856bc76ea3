"""A fake server at the transport, and the views it answers with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from tuner.client import Client
from tuner.decision import Outcome
from tuner.errors import TunerError
from tuner.trial import Origin, StudyState, TrialState
from tuner.wire import BestView, RatePoint, StudyView, TrialView

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Answer = Callable[[httpx.Request], httpx.Response] | Exception


class FakeServer:
    """Answers each route from a list, the last answer again and again; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}

    def on(self, method: str, path: str, *answers: object) -> None:
        """Set a route's answers: JSON values, responses, exceptions or functions."""
        self._answers[method, path] = [_answer(a) for a in answers]

    def client(self, *, patience_s: float = 5.0) -> Client:
        return Client(
            "http://server.test",
            "secret-token",
            patience_s=patience_s,
            transport=httpx.MockTransport(self.serve),
        )

    def sent(self, method: str, path: str) -> list[httpx.Request]:
        return [r for r in self.requests if (r.method, _path(r)) == (method, path)]

    def bodies(self, method: str, path: str) -> list[Any]:
        return [json.loads(r.content) for r in self.sent(method, path)]

    def serve(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._answers.get((request.method, _path(request)))
        if answers is None:
            return problem(404, "not-found", f"nothing at {_path(request)}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request)


def problem(status: int, slug: str, detail: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"type": f"/problems/{slug}", "title": slug, "status": status, "detail": detail, **more}
    return httpx.Response(
        status, json=body, headers={"Content-Type": "application/problem+json", **headers}
    )


def refusal(error: TunerError) -> dict[str, Any]:
    """Return a problem as it stands in a batch's results."""
    return {
        "type": f"/problems/{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }


def best_view(**changes: Any) -> BestView:
    fields: dict[str, Any] = {
        "number": 3,
        "value": 0.25,
        "step": 9,
        "params": {"lr": 0.1, "batch_size": 32},
        "schedule": [RatePoint(step=0, lr_factor=1.0), RatePoint(step=5, lr_factor=0.5)],
        "outcome": Outcome.COMPLETE,
        "origin": Origin.SAMPLED,
    }
    return BestView(**{**fields, **changes})


def study_view(**changes: Any) -> StudyView:
    fields: dict[str, Any] = {
        "id": 7,
        "name": "digits",
        "state": StudyState.RUNNING,
        "spec": {
            "objective": {"metric": "val_loss", "mode": "min"},
            "budget": {"trials": 10, "steps": 27},
        },
        "created_at": NOW,
        "started_at": NOW,
        "counts": {"waiting": 1, "running": 2, "complete": 3, "pruned": 1},
        "steps_done": 60,
        "steps_saved": 20,
        "halvings": 2,
    }
    return StudyView(**{**fields, **changes})


def over(**changes: Any) -> StudyView:
    fields = {"state": StudyState.FINISHED, "ended_why": "budget", "best": best_view()}
    return study_view(**{**fields, **changes})


def trial_view(number: int, value: float | None = None, **changes: Any) -> TrialView:
    ended = value is not None
    fields: dict[str, Any] = {
        "number": number,
        "state": TrialState.ENDED if ended else TrialState.RUNNING,
        "outcome": Outcome.COMPLETE if ended else None,
        "reason": "",
        "origin": Origin.SAMPLED,
        "params": {"lr": 0.1},
        "value": value,
        "last_value": value,
        "last_step": 9,
        "lr_factor": 1.0,
        "attempt": 1,
        "failures": 0,
        "seed": 5,
        "worker_id": None,
        "created_at": NOW,
        "started_at": NOW,
        "ended_at": NOW if ended else None,
    }
    return TrialView(**{**fields, **changes})


def grant(**changes: Any) -> dict[str, Any]:
    fields = {
        "lease": "lease-token-1",
        "study_id": 7,
        "study": "digits",
        "number": 4,
        "attempt": 2,
        "params": {"lr": 0.1},
        "seed": 11,
        "steps": 27,
        "metric": "val_loss",
        "mode": "min",
        "run": "external",
    }
    return {**fields, **changes}


def _path(request: httpx.Request) -> str:
    return request.url.path.removeprefix("/api/v1")


def _answer(value: object) -> Answer:
    if isinstance(value, Exception):
        return value
    if isinstance(value, httpx.Response):
        return lambda _: httpx.Response(
            value.status_code, content=value.content, headers=value.headers
        )
    if callable(value):
        return value
    if hasattr(value, "model_dump_json"):
        content = value.model_dump_json().encode()
        return lambda _: httpx.Response(200, content=content)
    return lambda _: httpx.Response(200, json=value)
