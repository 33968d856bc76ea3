"""Random requests made from the OpenAPI description, good and bad ones, against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import settings
from schemathesis import Case
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

from tests.serving import ROOT, TOKEN, ServerProcess

load_all_checks()
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)
REFUSALS = ["400", "401", "403", "404", "405", "409", "413", "415", "422", "503"]
EXAMPLES = 20
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 4,
        "generation": {"mode": "all", "deterministic": True, "max-examples": EXAMPLES},
        # Some hundred requests an operation, minutes in all.
        "phases": {"coverage": {"enabled": False}},
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
    }
)
DESCRIPTION = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
schema = schemathesis.openapi.from_dict(DESCRIPTION, config=CONFIG)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    options = ("--wrong-tokens", "1000000", "--rate-limit", "0")
    with ServerProcess(tmp_path_factory.mktemp("random"), *options) as server:
        yield server


@schema.parametrize()
@settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
def test_the_server_keeps_to_its_description(case: Case[Any], server: ServerProcess) -> None:
    checks: list[Any] = CHECKS.get_by_names(WANTED)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(base_url=server.url, headers=headers, checks=checks)
