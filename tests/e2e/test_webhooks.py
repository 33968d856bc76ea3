"""A real server tells a real receiver, killed between deliveries; and the command line."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from tests.contract.ledger_database import wait_until
from tests.receiver import Receiver, documented_verify, receiving
from tests.serving import ServerProcess
from tuner.client import Client

ALLOW = ("--webhook-allow-host", "127.0.0.1")
STUDIES, KILLS = 24, 4
DOCUMENT = {"objective": {"metric": "loss"}, "run": "external"}


def submit(server: ServerProcess, first: int, number: int) -> None:
    for n in range(first, first + number):
        server.call("POST", "/studies", {"name": f"s{n}", **DOCUMENT})


def told(receiver: Receiver) -> list[str]:
    """Return the studies told of, in the order of their first message."""
    names = (got.message["data"]["study"]["name"] for got in receiver.got)
    return list(dict.fromkeys(names))


def test_every_event_arrives_in_order_though_the_server_is_killed(tmp_path: Path) -> None:
    """Each kill comes while the receiver holds its answer back: taken, and not recorded."""
    came, go = threading.Event(), threading.Event()

    def hold() -> None:
        came.set()
        assert go.wait(60)

    with receiving() as receiver, ServerProcess(tmp_path, *ALLOW) as server:
        body = {"url": receiver.url(), "events": ["study.submitted"]}
        hook = server.call("POST", "/webhooks", body)
        for kill in range(KILLS):
            came.clear()
            go.clear()
            receiver.before_answer = hold
            submit(server, kill * STUDIES // KILLS, STUDIES // KILLS)
            assert came.wait(60)
            server.kill()
            receiver.before_answer = lambda: None
            go.set()
            server.start()
        wait_until(lambda: len(told(receiver)) == STUDIES, "all events were told")
        assert told(receiver) == [f"s{n}" for n in range(STUDIES)]
        first: dict[int, str] = {}
        for got in receiver.got:
            documented_verify()(hook["secret"], got.headers, got.body)
            message = first.setdefault(got.seq, got.headers["webhook-id"])
            assert got.headers["webhook-id"] == message
        assert list(first) == sorted(first)
        assert len(set(first.values())) == STUDIES
        assert len(receiver.got) > STUDIES, "no kill came between an answer and its record"


def test_without_a_word_of_the_operator_nothing_goes_inside(tmp_path: Path) -> None:
    with receiving() as receiver, ServerProcess(tmp_path) as server:
        for url in (receiver.url(), receiver.url(scheme="https"), receiver.url("localhost")):
            ran = server.run("webhook", "create", url, code=1)
            assert ran.stdout == ""
            assert "url: " in ran.stderr
        assert receiver.got == []


def test_the_command_line_and_the_client(tmp_path: Path) -> None:
    with receiving() as receiver, ServerProcess(tmp_path, *ALLOW) as server:
        made = server.run("webhook", "create", receiver.url(), "--event", "study.cancelled")
        hook, secret = made.stdout.split()
        assert secret.startswith("whsec_")
        listed = server.run("webhook", "list").stdout
        assert hook in listed
        assert "whsec_" not in listed
        assert "200" in server.run("webhook", "test", hook).stderr
        receiver.answers = [(503, {}, b"")]
        assert "503" in server.run("webhook", "test", hook, code=1).stderr
        tried = json.loads(server.run("webhook", "deliveries", hook, "--json").stdout)
        assert [t["status"] for t in tried] == [503, 200]
        assert "answered 503" in server.run("webhook", "deliveries", hook).stdout
        server.run("webhook", "disable", hook)
        assert [w["active"] for w in server.call("GET", "/webhooks")["items"]] == [False]
        server.run("webhook", "enable", hook, "--from-now")
        with Client(server.url, server.token) as client:
            assert [(w.id, w.active) for w in client.webhooks.list()] == [(hook, True)]
            study = client.submit({"name": "x", **DOCUMENT})
            study.cancel()
            wait_until(lambda: "study.cancelled" in receiver.types, "the webhook was told")
            assert client.webhooks.deliveries(hook, 1)[0].message.startswith(hook)
            assert client.webhooks.create(receiver.url(), study=study.id).study == study.id
        server.run("webhook", "remove", hook)
        server.run("webhook", "remove", hook, code=3)
