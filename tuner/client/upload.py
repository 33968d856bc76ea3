"""A leased trial's files in the hands of an own loop: to the store and back, one by one."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx

from tuner.client.signed import CHUNK, LOOPBACK, STORE_S, refused, store_context, unreachable
from tuner.client.transport import Transport
from tuner.errors import NotFound, ServerUnreachable, StaleAttempt
from tuner.wire import (
    AskUpload,
    CheckpointView,
    LeaseGrant,
    RegisterArtifact,
    RegisterCheckpoint,
    RejectCheckpoint,
    Reply,
    TrialAfter,
    UploadPlace,
)

_LOG = logging.getLogger("tuner.trial")
_OCTETS = "application/octet-stream"
_REJECT_S = 600.0


class Files:
    """The files of one lease.

    Args:
        outside: replaces the network to the store (tests).
    """

    def __init__(
        self, transport: Transport, grant: LeaseGrant, outside: httpx.BaseTransport | None = None
    ) -> None:
        self._transport = transport
        self._grant = grant
        self._path = f"/leases/{grant.lease}"
        self._outside = outside

    def checkpoint(self, step: int, file: Path) -> None:
        """Store a checkpoint. Raises TunerError."""
        self._send(file, f"/checkpoints/{step}", step=step)

    def artifact(self, name: str, file: Path) -> None:
        """Store an artifact. Raises TunerError."""
        self._send(file, "/artifacts", name=name)

    def fetch(self, checkpoint: CheckpointView, file: Path) -> None:
        """Fetch the checkpoint to resume from.

        Raises:
            StaleAttempt: it can't be used; the trial was given back, to go on from an earlier one.
        """
        why = f"the checkpoint of step {checkpoint.step} came with a wrong hash"
        for direct in (True, False, False):
            try:
                if self._fetch(file, direct=direct) == checkpoint.sha256:
                    return
            except NotFound as exc:
                why = exc.detail
                break
            except ServerUnreachable:
                if not direct:
                    raise
        body = RejectCheckpoint(attempt=self._grant.attempt, sha256=checkpoint.sha256, reason=why)
        path = f"{self._path}/checkpoint/reject"
        self._transport.post(TrialAfter, path, body, keyed=False, wait_s=_REJECT_S)
        raise StaleAttempt(f"{why}; the trial was given back: ask again")

    def _send(self, file: Path, route: str, *, step: int | None = None, name: str = "") -> None:
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        size = file.stat().st_size
        ask = AskUpload(attempt=self._grant.attempt, step=step, sha256=sha256, size=size)
        place = self._transport.post(UploadPlace, f"{self._path}/uploads", ask, keyed=False)
        named = {"name": name} if step is None else {}
        if place.url is not None and self._put(place, file):
            whole = {**ask.model_dump(exclude={"step"}), **named, "upload": place.upload}
            kind = RegisterCheckpoint if step is not None else RegisterArtifact
            body = kind.model_validate(whole)
            self._transport.post(Reply, f"{self._path}{route}", body, keyed=False)
            return
        query = {"attempt": self._grant.attempt, "sha256": sha256, **named}
        headers = {"Content-Type": _OCTETS, "Content-Length": str(size)}
        self._transport.send_file("PUT", f"{self._path}{route}", file, headers, query)

    def _put(self, place: UploadPlace, file: Path) -> bool:
        try:
            with self._store() as store:
                response = store.put(str(place.url), headers=place.headers, content=_pieces(file))
            if response.is_success:
                return True
            problem = refused(response)
        except httpx.TransportError as exc:
            problem = unreachable(exc)
        _LOG.warning("%s; the file goes through the server", problem.detail)
        return False

    def _fetch(self, file: Path, *, direct: bool) -> str:
        away = ""
        wish = "true" if direct else None
        with self._transport.stream(f"{self._path}/checkpoint", direct=wish) as response:
            if not response.is_redirect:
                return _save(response, file)
            away = response.headers["Location"]
        try:
            with self._store() as store, store.stream("GET", away) as response:
                if not response.is_success:
                    raise refused(response)
                return _save(response, file)
        except httpx.TransportError as exc:
            raise unreachable(exc) from exc

    def _store(self) -> httpx.Client:
        return httpx.Client(
            timeout=httpx.Timeout(STORE_S, connect=5.0),
            verify=store_context(self._transport.ca),
            transport=self._outside,
            mounts=LOOPBACK,
        )


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(CHUNK):
            yield piece


def _save(response: httpx.Response, file: Path) -> str:
    sha = hashlib.sha256()
    with file.open("wb") as opened:
        for piece in response.iter_bytes(CHUNK):
            sha.update(piece)
            opened.write(piece)
    return sha.hexdigest()
