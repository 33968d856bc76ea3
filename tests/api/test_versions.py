"""Two people edit one study; caches ask whether it changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, external, train
from tests.api.in_process import API

pytestmark = pytest.mark.anyio
PATH = f"{API}/studies/loop"


async def submitted(api: Api, **changes: Any) -> str:
    """Submit a study and return its ETag."""
    await api.post("/studies", external(**changes))
    return await etag(api)


async def etag(api: Api) -> str:
    """Return the study's ETag now."""
    response = await api.http.get(PATH)
    assert response.status_code == 200
    tag: str = response.headers["etag"]
    return tag


async def test_the_second_of_two_people_is_told(api: Api) -> None:
    both_read = await submitted(api)
    first = await api.http.patch(PATH, json={"priority": 3}, headers={"If-Match": both_read})
    assert first.status_code == 200
    second = {"json": {"priority": 9}, "headers": {"If-Match": both_read}}
    body = await api.refused(412, "precondition-failed", "PATCH", "/studies/loop", **second)
    view = await api.get("/studies/loop")
    assert view["spec"]["queue"]["priority"] == 3
    assert body["extra"]["version"] == view["version"]
    again = {"If-Match": f'"{view["version"]}"'}
    assert (await api.http.patch(PATH, json={"priority": 9}, headers=again)).status_code == 200


@pytest.mark.parametrize(
    "edit", [{"priority": 1}, {"parallel": 2}, {"state": "paused"}, {"state": "stopped"}]
)
async def test_what_people_change_makes_a_new_version(api: Api, edit: dict[str, Any]) -> None:
    before = await submitted(api)
    await api.patch("/studies/loop", edit)
    refusal = {"json": {"trials": 1}, "headers": {"If-Match": before}}
    await api.refused(412, "precondition-failed", "POST", "/studies/loop/extend", **refusal)


async def test_progress_makes_no_new_version_and_a_new_etag(api: Api) -> None:
    before = await submitted(api, budget={"trials": 2, "steps": 5})
    await train(api, "loop", [0.5, 0.4])
    assert await etag(api) != before
    await train(api, "loop", [0.3])
    assert (await api.get("/studies/loop"))["state"] == "finished"
    more = await api.http.post(f"{PATH}/extend", json={"trials": 1}, headers={"If-Match": before})
    assert more.status_code == 200, more.text
    assert more.headers["etag"] != before


async def test_an_unchanged_study_is_not_sent_again(api: Api) -> None:
    tag = await submitted(api)
    for given in (tag, f'"other", W/{tag}', "*"):
        response = await api.http.get(PATH, headers={"If-None-Match": given})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
    await train(api, "loop", [0.5])
    assert (await api.http.get(PATH, headers={"If-None-Match": tag})).status_code == 200


async def test_delete_compares_too(api: Api) -> None:
    before = await submitted(api)
    await api.patch("/studies/loop", {"state": "cancelled"})
    how = {"headers": {"If-Match": before}}
    await api.refused(412, "precondition-failed", "DELETE", "/studies/loop", **how)
    now = {"If-Match": await etag(api)}
    assert (await api.http.delete(PATH, headers=now)).status_code == 200


async def test_the_same_key_is_answered_again_though_the_version_moved(api: Api) -> None:
    headers = {"If-Match": await submitted(api), "Idempotency-Key": "one"}
    first = await api.http.patch(PATH, json={"priority": 3}, headers=headers)
    second = await api.http.patch(PATH, json={"priority": 3}, headers=headers)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("given", ["x", '"a', '"a"b"', '"a\u00ff"', '"a",,"b"'])
async def test_what_is_no_tag_is_refused(api: Api, given: str) -> None:
    await submitted(api)
    tag = given.encode("latin-1")
    how: dict[str, Any] = {"json": {"priority": 1}, "headers": {b"If-Match": tag}}
    await api.refused(422, "invalid-input", "PATCH", "/studies/loop", **how)
    read = {b"If-None-Match": tag}
    await api.refused(422, "invalid-input", "GET", "/studies/loop", headers=read)


async def test_a_weak_tag_never_matches_a_change(api: Api) -> None:
    how = {"json": {"priority": 1}, "headers": {"If-Match": f"W/{await submitted(api)}"}}
    await api.refused(412, "precondition-failed", "PATCH", "/studies/loop", **how)
    any_version = {"If-Match": "*"}
    assert (await api.http.patch(PATH, json={}, headers=any_version)).status_code == 200
