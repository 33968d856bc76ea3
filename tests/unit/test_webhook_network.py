"""Requests to receivers over real sockets: to the address that was judged, under the name."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.webhooks.address import Ip
from api.webhooks.network import MOST_BODY, Answer, Network
from tests.receiver import receiving

LOCAL = ipaddress.ip_address("127.0.0.1")
SELF_SIGNED = (
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
    "-nodes", "-days", "30", "-subj", "/CN=hooks.example",
    "-addext", "subjectAltName=DNS:hooks.example",
)  # fmt: skip


async def local(_host: str, _port: int) -> Sequence[Ip]:
    return [LOCAL]


def post(network: Network, url: str) -> Answer:
    return asyncio.run(network.post(url, {"X": "1"}, b"{}"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = [*SELF_SIGNED, "-out", str(cert), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def test_tls_is_checked_against_the_name(certificate: tuple[Path, Path]) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate)
    asked: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: asked.append(name)
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with receiving(served) as receiver:
        names = ("hooks.example", "other.example")
        network = Network(names, resolve=local, tls=trusted)
        assert post(network, receiver.url("hooks.example", "https")).status == 200
        assert receiver.got[0].headers["host"] == f"hooks.example:{receiver.port}"
        wrong = post(network, receiver.url("other.example", "https"))
        assert (wrong.status, "mismatch" in wrong.error) == (None, True)
        unknown = post(Network(names, resolve=local), receiver.url("hooks.example", "https"))
        assert (unknown.status, "certificate" in unknown.error) == (None, True)
        assert asked == ["hooks.example", "other.example", "hooks.example"]
        assert len(receiver.got) == 1


def test_a_name_is_judged_each_time_it_is_resolved() -> None:
    """The answers of a name server that rebinds: public when looked at, private when used."""
    answers = [ipaddress.ip_address("8.8.8.8"), LOCAL]

    async def rebinding(_host: str, _port: int) -> Sequence[Ip]:
        return [answers.pop(0)]

    with receiving() as receiver:
        network = Network(resolve=rebinding)
        url = receiver.url("hooks.example", "https")
        asyncio.run(network.check(url))
        answer = post(network, url)
        assert answer.error.startswith("refused: ")
        assert answers == []
        assert receiver.got == []


def test_the_name_is_resolved_once_for_a_request() -> None:
    asked = []

    async def once(host: str, port: int) -> Sequence[Ip]:
        asked.append((host, port))
        return [ipaddress.ip_address("127.0.0.3"), LOCAL] if len(asked) == 1 else []

    with receiving() as receiver:
        network = Network(["nowhere.invalid"], resolve=once)
        assert post(network, receiver.url("nowhere.invalid")).status == 200
        assert asked == [("nowhere.invalid", receiver.port)]


def test_no_redirect_is_followed_and_no_proxy_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url())
        receiver.answers = [(307, {"Location": other.url()}, b"")]
        network = Network(["127.0.0.1"])
        assert [post(network, receiver.url()).status for _ in range(2)] == [307, 200]
        assert other.got == []
        assert len(receiver.got) == 2


def test_an_answer_is_read_in_part() -> None:
    with receiving() as receiver:
        receiver.answers = [(200, {}, b"\xff\x1b" + b"x" * 10_000_000)]
        answer = post(Network(["127.0.0.1"]), receiver.url())
        assert len(answer.body) == MOST_BODY
        assert answer.body[:3] == "\N{REPLACEMENT CHARACTER}" * 2 + "x"


def test_a_silent_receiver_is_left() -> None:
    go = threading.Event()
    with receiving() as receiver:
        receiver.before_answer = lambda: (go.wait(60), None)[1]
        answer = post(Network(["127.0.0.1"], total_s=0.2), receiver.url())
        assert (answer.status, answer.error) == (None, "no answer in time")
        go.set()


def test_nobody_there() -> None:
    with receiving() as receiver:
        url = receiver.url()
    answer = post(Network(["127.0.0.1"]), url)
    assert answer.status is None
    assert answer.error
