"""Quotas of projects on a real server: what they hold back, and what they refuse."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.limits.settings import Quota, read_quotas
from tests.api.conftest import external
from tests.serving import TOKEN, ServerProcess
from tuner.client import Client
from tuner.errors import InvalidInput, QuotaReached
from tuner.trial import StudyState

WAIT_S = 60.0


def project(name: str, **more: Any) -> dict[str, Any]:
    """Return the document of a study of the project `vision`."""
    return external(name, queue={"project": "vision"}, **more)


def test_quotas_hold_back_trials_and_refuse_studies(tmp_path: Path) -> None:
    options = ("--quota", "vision:parallel=2", "--quota", "vision:queued=2")
    with ServerProcess(tmp_path, *options) as server, Client(server.url, server.token) as client:
        for name in "ab":
            client.submit(project(name))
        with pytest.raises(QuotaReached, match="'vision' has 2 studies") as refused:
            client.submit(project("c"))
        assert refused.value.extra["used"] == 2
        client.submit(external("elsewhere"))
        held = [server.call("POST", f"/studies/{n}/ask", {})["leases"][0] for n in "ab"]
        reply = server.call("POST", "/studies/a/ask", {})
        assert (reply["leases"], reply["idle"]) == ([], False)
        assert server.call("POST", "/studies/elsewhere/ask", {})["leases"]
        (vision,) = [p for p in client.projects() if p.project == "vision"]
        assert (vision.parallel.used, vision.parallel.limit, vision.queued.used) == (2, 2, 2)
        found: list[Any] = []
        waiting = threading.Thread(
            target=lambda: found.extend(
                server.call("POST", "/studies/a/ask", {"wait_s": 20.0})["leases"]
            )
        )
        waiting.start()
        server.call("POST", f"/leases/{held[1]['lease']}/release", {"attempt": 1})
        waiting.join(WAIT_S)
        assert len(found) == 1


def test_a_study_that_is_over_goes_on_within_the_quota_only(tmp_path: Path) -> None:
    quota = ("--quota", "vision:queued=1")
    with ServerProcess(tmp_path, *quota) as server, Client(server.url, server.token) as client:
        over = client.submit(project("over"))
        assert over.stop().state is StudyState.FINISHED
        live = client.submit(project("live"))
        with pytest.raises(QuotaReached, match="'vision' has 1 studies"):
            over.extend(trials=1)
        assert over.refresh().state is StudyState.FINISHED
        # What is not over counts already.
        assert live.extend(trials=1).state is StudyState.QUEUED
        assert live.pause().resume().state is StudyState.QUEUED
        live.cancel()
        assert not over.extend(trials=1).is_over


def test_an_import_goes_on_though_it_filled_the_quota(tmp_path: Path) -> None:
    body = {"document": project("there"), "source": "sqlite:///there.db"}
    with ServerProcess(tmp_path, "--quota", "vision:queued=1") as server:
        begun = server.call("POST", "/studies/import", body)
        assert server.call("POST", "/studies/import", body) == begun
        other = {**body, "document": project("more")}
        refused = httpx.post(
            f"{server.url}/api/v1/studies/import",
            json=other,
            headers={"Authorization": f"Bearer {TOKEN}"},
        )
        assert (refused.status_code, refused.json()["extra"]["used"]) == (409, 1)


def test_bytes_of_checkpoints_have_a_quota(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--quota", "*:artifact_bytes=250") as server:
        server.call("POST", "/studies", external("a"))
        (lease,) = server.call("POST", "/studies/a/ask", {})["leases"]
        report = {"lease": lease["lease"], "attempt": 1, "step": 1, "value": 1.0, "lr_factor": 1.0}
        more = report | {"step": 2}
        server.call("POST", "/reports", {"reports": [report, more]})

        def put(step: int, size: int) -> httpx.Response:
            body = b"x" * size
            return httpx.put(
                f"{server.url}/api/v1/leases/{lease['lease']}/checkpoints/{step}",
                params={"attempt": 1, "sha256": hashlib.sha256(body).hexdigest()},
                content=body,
                headers={
                    "Authorization": f"Bearer {TOKEN}",
                    "Content-Type": "application/octet-stream",
                },
            )

        assert put(1, 100).status_code == 200
        refused = put(2, 151)
        assert refused.status_code == 409
        assert refused.json()["extra"]["quota"] == "artifact_bytes"
        assert put(2, 150).status_code == 200
        assert put(3, 1).status_code == 409  # the first is the best, the second the one before


def test_quotas_are_read() -> None:
    found = read_quotas(["a:parallel=8", "*:queued=3", "a:artifact-bytes=10", "b:c:queued=1"])
    assert found == {
        "a": Quota(parallel=8, artifact_bytes=10),
        "*": Quota(queued=3),
        "b:c": Quota(queued=1),
    }


@pytest.mark.parametrize("text", ["", "a", "a:parallel", "a:parallel=x", ":queued=1", "a:gpu=1"])
def test_a_quota_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="PROJECT:KIND=NUMBER"):
        read_quotas([text])
