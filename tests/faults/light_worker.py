"""A lean worker: says to the server what `tuner worker` says, and trains nothing.

Run as a script with one argument, its settings as JSON (see `Light` in `light.py`). Each thing that
happened is a line of JSON on standard output. It needs nothing but the standard library, so that
hundreds can be started, frozen and killed in minutes. It sends requests in two pieces, so that many
of them are under way when that happens; and once a lease is refused it tries all other writes, too.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
import time
from typing import Any

Reply = tuple[int, bytes]
_UPLOAD = 8
"""How many times longer an upload takes than another request."""


def content(number: int, attempt: int, step: int, size: int) -> bytes:
    """Return the checkpoint of a step: which it is can be told from each of its parts."""
    text = f"{number}-{attempt}-{step};".encode()
    return (text * (size // len(text) + 1))[:size]


def say(what: str, **more: Any) -> None:
    """Write down that something happened."""
    print(json.dumps({"what": what, **more}), flush=True)


class Server:
    """Requests, sent again until they are answered."""

    def __init__(self, host: str, port: int, token: str, pause: float) -> None:
        self._address = (host, port)
        self._token = token
        self._pause = pause
        self._open: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, path: str, body: bytes = b"", *, key: str = "", hang: bool = False
    ) -> Reply:
        """Return status and body; with `hang`, send half of the request and stay there."""
        headers = {"Content-Type": f"application/{'octet-stream' if method == 'PUT' else 'json'}"}
        if key:
            headers["Idempotency-Key"] = key
        while True:
            try:
                return self._ask(method, path, body, headers, hang=hang)
            except (OSError, http.client.HTTPException):
                self._open = None
                time.sleep(0.05)

    def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str], *, hang: bool
    ) -> Reply:
        if self._open is None:
            self._open = http.client.HTTPConnection(*self._address, timeout=30)
        connection = self._open
        connection.putrequest(method, "/api/v1" + path)
        connection.putheader("Authorization", f"Bearer {self._token}")
        connection.putheader("Content-Length", str(len(body)))
        for key, value in headers.items():
            connection.putheader(key, value)
        connection.endheaders()
        half = len(body) // 2
        connection.send(body[:half])
        if hang:
            say("hung")
            time.sleep(3600)
        time.sleep(self._pause * (_UPLOAD if method == "PUT" else 1))
        connection.send(body[half:])
        got = connection.getresponse()
        return got.status, got.read()


class Worker:
    """Leases trials and runs one after another, for ever."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._at = settings
        self._server = Server(
            settings["host"], settings["port"], settings["token"], settings["pause"]
        )
        self._asked = 0
        self._uploads = 0

    def run(self) -> None:
        """Work until killed."""
        while True:
            about = {"name": self._at["name"], "host": "h", "slots": 1, "allow": ["light:*"]}
            worker = self._post("/workers", about)[1]["worker_id"]
            say("registered", worker=worker)
            while (grants := self._acquire(worker)) is not None:
                for grant in grants:
                    self._run(grant)

    def _acquire(self, worker: str) -> list[dict[str, Any]] | None:
        self._asked += 1
        body = {"worker_id": worker, "n": 1, "wait_s": 5.0}
        key = f"{worker}-{self._asked}"
        status, reply = self._post("/leases", body, key)
        if status == 404:
            return None
        if status != 200:
            time.sleep(0.1)
        grants: list[dict[str, Any]] = reply.get("leases", [])
        return grants

    def _run(self, grant: dict[str, Any]) -> None:
        step = self._resumed(grant)
        while step < self._at["steps"]:
            step += 1
            if self._report(grant, step) != "taken":
                self._refused(grant, step)
                return
            if step % self._at["every"] == 0 and self._upload(grant, step) != "taken":
                self._refused(grant, step)
                return
            time.sleep(self._at["sleep"])
        say("finished", number=grant["number"], answer=self._end(grant, "finish"))

    def _resumed(self, grant: dict[str, Any]) -> int:
        held = grant["resume"]
        step, whole = 0, True
        if held is not None:
            step = held["step"]
            _, got = self._server.ask("GET", f"/leases/{grant['lease']}/checkpoint")
            whole = got == content(grant["number"], held["attempt"], step, self._at["size"])
        say(
            "run", number=grant["number"], attempt=grant["attempt"], lease=grant["lease"],
            step=step, whole=whole,
        )  # fmt: skip
        return step

    def _report(self, grant: dict[str, Any], step: int) -> str:
        item = {
            "lease": grant["lease"], "attempt": grant["attempt"], "step": step,
            "value": 1.0 / (step + grant["attempt"]),
        }  # fmt: skip
        reply = self._post("/reports", {"reports": [item]})
        return _answer(reply, "results")

    def _upload(self, grant: dict[str, Any], step: int) -> str:
        self._uploads += 1
        number, attempt = grant["number"], grant["attempt"]
        body = content(number, attempt, step, self._at["size"])
        sha256 = hashlib.sha256(body).hexdigest()
        path = f"/leases/{grant['lease']}/checkpoints/{step}?attempt={attempt}&sha256={sha256}"
        hang = self._uploads == self._at["hang_at"]
        say("uploading", number=number, attempt=attempt, step=step)
        status, got = self._server.ask("PUT", path, body, hang=hang)
        answer = _answer((status, json.loads(got)), None)
        if answer == "taken":
            say("stored", number=number, attempt=attempt, step=step)
        return answer

    def _end(self, grant: dict[str, Any], how: str) -> str:
        return _answer(
            self._post(f"/leases/{grant['lease']}/{how}", {"attempt": grant["attempt"]}), None
        )

    def _refused(self, grant: dict[str, Any], step: int) -> None:
        """Try with a void lease all that can be written; what it answers is for the test."""
        held = {"lease": grant["lease"], "attempt": grant["attempt"]}
        beat = self._post("/heartbeats", {"worker_id": None, "leases": [held]})
        answers = {
            "report": self._report(grant, step + 1),
            "upload": self._upload(grant, step + 1),
            "heartbeat": _answer(beat, "results"),
            "finish": self._end(grant, "finish"),
            "release": self._end(grant, "release"),
        }
        say("refused", number=grant["number"], attempt=grant["attempt"], answers=answers)

    def _post(self, path: str, body: dict[str, Any], key: str = "") -> tuple[int, dict[str, Any]]:
        status, got = self._server.ask("POST", path, json.dumps(body).encode(), key=key)
        return status, json.loads(got)


def _answer(reply: tuple[int, dict[str, Any]], inside: str | None) -> str:
    status, body = reply
    if status != 200:
        return str(body["type"]).rpartition("/")[2]
    problem = body[inside][0]["problem"] if inside is not None else None
    return "taken" if problem is None else str(problem["type"]).rpartition("/")[2]


if __name__ == "__main__":
    Worker(json.loads(sys.argv[1])).run()
