"""The OpenAPI description is the file in docs/, and its examples are true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api import openapi
from api.app import create_app
from api.openapi_examples import LEASE, RECEIVER, REPLIES, REQUESTS, WEBHOOK, WORKER
from api.openapi_examples import TOKEN as EXAMPLE
from tests.api.conftest import Api
from tests.api.in_process import TOKEN, settings_in

pytestmark = pytest.mark.anyio
FILE = Path(__file__).parents[2] / "docs" / "openapi.json"
Operation = tuple[str, str, dict[str, Any]]
ORDER = (
    "submit_study",
    "ask_trial",
    "report",
    "cut_rate",
    "record_environment",
    "heartbeat",
    "send_logs",
    "ask_upload",
    "finish_trial",
    "ask_trial",
    "release_trial",
    "stop_trial",
    "change_trial_remark",
    "change_remark",
    "save_view",
    "enqueue_trial",
    "change_study",
    "extend_study",
    "clone_study",
    "register_worker",
    "acquire_leases",
    "adopt_study",
    "adopt_trials",
    "create_token",
    "create_webhook",
    "change_webhook",
    "log_in",
)
AWAY = {"test_webhook", "register_checkpoint", "register_artifact", "reject_checkpoint"}
"""Would be sent to a receiver out there, or are about a file that a worker put into a store."""
NUMBERS = {"stop_trial": 1}
STUDY_OF = {"adopt_trials": "from-optuna"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def operations(described: dict[str, Any]) -> Iterator[Operation]:
    for path, found in described["paths"].items():
        for method, operation in found.items():
            yield method, path, operation


def valid(described: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    whole = {**schema, "components": described["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(value)


async def test_the_file_says_what_the_application_says(tmp_path: Path) -> None:
    written = openapi.text(create_app(settings_in(tmp_path)))
    assert FILE.read_text(encoding="utf-8") == written, "run `make reference`"


async def test_every_body_has_an_example(described: dict[str, Any]) -> None:
    names = set()
    for _, _, operation in operations(described):
        name = operation["operationId"]
        names.add(name)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            valid(described, body["schema"], body["example"])
        for code, reply in operation["responses"].items():
            shown = reply.get("content", {}).get("application/json", {})
            if code in ("200", "201") and shown and "200" not in operation["responses"]:
                assert "example" in shown, name
            if "example" in shown:
                valid(described, shown["schema"], shown["example"])
    assert names >= REPLIES.keys()
    assert names >= REQUESTS.keys()
    without = {"get_checkpoint", "get_source", "sign_off", "end_session", "preview_artifact"}
    without |= {"download_checkpoint", "download_artifact"}
    assert names - without - {"put_checkpoint"} <= REPLIES.keys()


async def test_every_problem_has_an_example(described: dict[str, Any]) -> None:
    examples = described["components"]["examples"]
    for slug, example in examples.items():
        assert example["value"]["type"] == f"/problems/{slug}"
        valid(described, {"$ref": "#/components/schemas/Problem"}, example["value"])
    assert len(examples) > 15


async def test_every_tag_is_described(described: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations(described) for tag in operation["tags"]}
    assert {tag["name"] for tag in described["tags"]} == used
    assert all(tag["description"] for tag in described["tags"])


async def test_only_what_is_open_needs_no_token(described: dict[str, Any]) -> None:
    bare = {path for _, path, operation in operations(described) if operation.get("security") == []}
    assert bare == {"/healthz", "/readyz", "/session"}
    assert described["security"] == [{"token": []}, {"session": []}]


async def test_the_examples_are_taken(api: Api, described: dict[str, Any]) -> None:
    """Post each example in the order in which they can be, with real leases in their places."""
    assert {*ORDER, *AWAY} == REQUESTS.keys()
    routes = {o["operationId"]: (method, path, o) for method, path, o in operations(described)}
    real = {LEASE: "", WORKER: "", WEBHOOK: "", RECEIVER: "https://1.1.1.1/tuner", EXAMPLE: TOKEN}
    for name in ORDER:
        method, path, operation = routes[name]
        study = STUDY_OF.get(name, "digits")
        number = NUMBERS.get(name, 0)
        url = path.format(study=study, number=number, lease=real[LEASE], webhook=real[WEBHOOK])
        text = json.dumps(REQUESTS[name])
        for example, found in real.items():
            text = text.replace(example, found)
        headers = {"Content-Type": "application/json"}
        reply = await api.http.request(method, url, content=text, headers=headers)
        assert reply.is_success, (name, reply.text)
        body = reply.json()
        shown = operation["responses"][str(reply.status_code)]["content"]["application/json"]
        valid(described, shown["schema"], body)
        if name == "ask_trial":
            real[LEASE] = body["leases"][0]["lease"]
        if name == "create_webhook":
            real[WEBHOOK] = body["id"]
        if name == "register_worker":
            real[WORKER] = body["worker_id"]
        for item in body.get("results", ()) if isinstance(body, dict) else ():
            assert item["problem"] is None, item
