"""A server over TLS, its certificate signed by an authority of the test's own, and the CLI."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path

import pytest

from tests.serving import ServerProcess, completed, environment, refused

WAIT_S = 30.0
DOCUMENT = """
name: over-tls
objective: {metric: loss}
space: {lr: {min: 0.1, max: 1.0}}
run: external
"""


def openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem, and cert.pem with key.pem for 127.0.0.1; other.pem is another key."""
    folder = tmp_path_factory.mktemp("papers")
    new = ("req", "-newkey", "rsa:2048", "-nodes")
    openssl(folder, *new, "-x509", "-days", "2", "-subj", "/CN=ca", "-keyout", "ca.key",
            "-out", "ca.pem", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    openssl(folder, *new, "-subj", "/CN=tuner", "-keyout", "key.pem", "-out", "ask.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(folder, "x509", "-req", "-in", "ask.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "cert.pem")  # fmt: skip
    openssl(folder, "genrsa", "-out", "other.pem", "2048")
    (folder / "text.pem").write_text("no certificate")
    return folder


def options(papers: Path, cert: str = "cert.pem", key: str = "key.pem") -> tuple[str, ...]:
    return ("--tls-cert", str(papers / cert), "--tls-key", str(papers / key))


def test_people_and_workers_over_tls(tmp_path: Path, papers: Path) -> None:
    (tmp_path / "study.yaml").write_text(DOCUMENT)
    with ServerProcess(tmp_path, *options(papers)) as server:
        assert server.url.startswith("https://")
        stranger = server.run("ls", code=5)
        assert "--ca" in stranger.stderr
        ca = ("--ca", str(papers / "ca.pem"))
        create = ("token", "create", "--role")
        made = server.run(*ca, *create, "worker", "--name", "node-1", "--expires", "30d")
        secret = made.stdout.strip()
        assert secret.startswith("tnr_")
        assert secret not in server.run(*ca, "token", "list").stdout

        def run_as(token: str, *args: str) -> subprocess.CompletedProcess[str]:
            env = environment(
                tmp_path, TUNER_URL=server.url, TUNER_TOKEN=token, TUNER_CA=str(papers / "ca.pem")
            )
            return completed(server.command(*args), tmp_path, env)

        viewer = server.run(*ca, *create, "viewer", "--name", "eve").stdout.strip()
        denied = run_as(viewer, "submit", "study.yaml")
        assert denied.returncode == 4
        assert "viewer" in denied.stderr
        assert run_as(viewer, "ls").returncode == 0
        worked = run_as(secret, "worker", "--until-idle", "0", "--spool", "sp", "--logs", "lo")
        assert worked.returncode == 0, worked.stderr
        server.run(*ca, "submit", "study.yaml")
        assert "over-tls" in server.run(*ca, "audit", "--action", "submit").stdout
        server.run(*ca, "token", "revoke", "eve")
        assert run_as(viewer, "ls").returncode == 4
        _speaks_nothing_older(server.url)


def _speaks_nothing_older(url: str) -> None:
    port = url.rpartition(":")[2]
    for flag, spoken in (("-tls1_1", False), ("-tls1_2", True)):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", flag]
        command += ["-cipher", "ALL:@SECLEVEL=0"]
        ran = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
        assert (ran.returncode == 0) is spoken, ran.stderr


@pytest.mark.parametrize(
    ("cert", "key", "why"),
    [
        ("absent.pem", "key.pem", "absent.pem can't be read"),
        ("text.pem", "key.pem", "no certificate and key in PEM"),
        ("cert.pem", "text.pem", "no certificate and key in PEM"),
        ("cert.pem", "other.pem", "other.pem is not the key of the certificate"),
    ],
)
def test_files_that_will_not_do(
    tmp_path: Path, papers: Path, cert: str, key: str, why: str
) -> None:
    assert why in refused(tmp_path, "--host", "0.0.0.0", *options(papers, cert, key))


def test_a_network_without_tls_is_refused(tmp_path: Path) -> None:
    assert "--tls-cert" in refused(tmp_path, "--host", "0.0.0.0")


def test_a_handshake_that_does_not_come_is_closed(tmp_path: Path, papers: Path) -> None:
    with ServerProcess(tmp_path, *options(papers), "--header-timeout", "0.5") as server:
        host, _, port = server.url.removeprefix("https://").partition(":")
        silent = socket.create_connection((host, int(port)), timeout=WAIT_S)
        with silent, contextlib.suppress(ConnectionResetError):
            assert silent.recv(1) == b""
