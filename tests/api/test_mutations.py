"""Valid requests, changed at random places: whatever comes out, no answer is a 500."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.in_process import API

pytestmark = pytest.mark.anyio

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 27, 2**31, 2**53, 2**63 - 1, 1e308, -1e308, 5e-324, 0.5,
    "", "x", "lr", "1", "a b", "\u202e", "sgd", "asha", "external", "__class__", [], {}, [1], [[]],
    {"a": 1}, {"min": 0, "max": 1}, {"value": 1}, {"task": "digits-mlp"}, {"entrypoint": "a:b"},
    {"name": "median"}, {"name": "hyperband"}, {"name": "grid"}, {"name": "qmc"}, {"name": "cmaes"},
)  # fmt: skip
KEYS = ("z", "min", "max", "values", "value", "name", "when", "step", "log", "type", "like")
STUDY: dict[str, Any] = {
    "api_version": "v1",
    "objective": {"metric": "val_loss", "mode": "min", "value": "best"},
    "space": {
        "lr": {"min": 1e-4, "max": 1.0, "log": True},
        "batch_size": {"values": [16, 32]},
        "depth": {"min": 1, "max": 8, "step": 1},
        "optimizer": {"values": ["sgd", "adam"]},
        "momentum": {"min": 0.8, "max": 0.99, "when": {"optimizer": "sgd"}},
    },
    "constraints": ["lr * 256 / batch_size <= 4"],
    "sampler": {"name": "tpe", "seed": 0},
    "pruner": {"name": "asha", "min": 3, "max": 27, "eta": 3},
    "policies": [
        {"name": "halve_on_plateau", "factor": 0.5, "patience": 3, "min_lr": 1e-5},
        {"name": "divergence"},
    ],
    "budget": {"trials": 6, "steps": 27, "parallel": 4, "hours": 8, "max_failures": 5},
    "repeats": {"finalists": 3, "seeds": 5},
    "run": "external",
    "retry": {"max": 3},
    "queue": {"project": "v", "priority": 5, "labels": {"gpu": "a"}},
}
TRIAL = {"params": {"lr": 0.1, "depth": 3, "optimizer": "sgd", "momentum": 0.9}, "like": 0}


def mutated(document: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    found = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _mutate(found, rng)
    return found


def _mutate(node: Any, rng: random.Random) -> None:
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
        _mutate(node[key], rng)
    elif isinstance(node, dict) and rng.random() < 0.15:
        del node[key]
    elif isinstance(node, dict) and rng.random() < 0.15:
        node[rng.choice(KEYS)] = copy.deepcopy(rng.choice(VALUES))
    else:
        node[key] = copy.deepcopy(rng.choice(VALUES))


def request(rng: random.Random, studies: list[int]) -> tuple[str, str, dict[str, Any]]:
    """Return a random request: method, path, body."""
    if not studies or rng.random() < 0.5:
        return "POST", "/studies", mutated(STUDY, rng)
    path = f"/studies/{rng.choice(studies)}"
    return rng.choice(
        [
            ("POST", f"{path}/clone", mutated({"changes": mutated(STUDY, rng)}, rng)),
            ("POST", f"{path}/trials", mutated(TRIAL, rng)),
            ("POST", f"{path}/extend", mutated({"trials": 1, "hours": 1.0}, rng)),
            ("PATCH", path, mutated({"state": "paused", "priority": 1, "parallel": 2}, rng)),
            ("POST", f"{path}/ask", {}),
        ]
    )


@pytest.mark.parametrize("seed", range(4))
async def test_no_mutation_breaks_the_server(api: Api, seed: int) -> None:
    rng, studies = random.Random(seed), list[int]()
    accepted = 0
    for _ in range(120):
        method, path, body = request(rng, studies)
        reply = await api.http.request(method, API + path, json=body)
        assert reply.status_code < 500, (method, path, json.dumps(body), reply.text)
        accepted += reply.is_success
        if reply.status_code == 201 and path == "/studies":
            studies.append(reply.json()["id"])
    assert accepted > 10
    for study in studies:
        for part in ("", "/trials", "/best", "/events", "/export", "/export?format=json"):
            got = await api.http.get(f"{API}/studies/{study}{part}")
            assert got.status_code in (200, 404), (study, part, got.text)
