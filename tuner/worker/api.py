"""The worker's routes of `/api/v1`, asynchronously, retried until the server answers.

Guarantees, beside those of `patient`: leases are acquired under an Idempotency-Key, so that a lost
reply is given again.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tuner.errors import (
    InvalidInput,
    NotFound,
    ServerUnreachable,
)
from tuner.wire import (
    AcquireLeases,
    AskUpload,
    CheckpointView,
    EnvironmentRecorded,
    FinishTrial,
    Heartbeat,
    HeartbeatReply,
    LeaseGrant,
    Leases,
    LogResults,
    Logs,
    RecordEnvironment,
    RegisterArtifact,
    RegisterCheckpoint,
    Registered,
    RegisterWorker,
    RejectCheckpoint,
    ReleaseTrial,
    Reply,
    ReportItem,
    ReportResults,
    Reports,
    TrialAfter,
    UploadPlace,
)
from tuner.worker.link import Link
from tuner.worker.outside import Outside, digest
from tuner.worker.patient import FOREVER, PatientHttp

_UPLOAD_S = 60.0
_REJECT_S = 600.0
"""The server reads the whole file before it answers."""
_DIRECT_TRIES = 2
_LOG = logging.getLogger("tuner.worker")

_NOTHING: Mapping[str, str] = {}
_DIRECT = {"direct": "true"}


class WorkerApi:
    """One server, as a worker asks it.

    Args:
        link: is told of every answer and every failure.
        ca: file of the authority that signed the server's certificate.
        request_timeout: seconds until an unanswered request counts as failed.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        link: Link,
        *,
        request_timeout: float,
        ca: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = PatientHttp(
            url, token, link, request_timeout=request_timeout, ca=ca, transport=transport
        )
        self._outside = Outside(ca=ca, transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._http.close()
        await self._outside.close()

    async def register(self, worker: RegisterWorker) -> Registered:
        """Register this worker."""
        return await self._http.post(Registered, "/workers", worker)

    async def sign_off(self, worker_id: str, patience: float) -> None:
        """Leave the fleet; given up after `patience` seconds."""
        await self._http.send(
            "DELETE", f"/workers/{worker_id}", headers={}, timeout=patience, patience=patience
        )

    async def acquire(self, ask: AcquireLeases) -> Leases:
        """Wait for trials. Repeated under the same key until answered."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        return await self._http.post(Leases, "/leases", ask, headers=headers, wait=ask.wait_s)

    async def report(self, reports: list[ReportItem]) -> ReportResults:
        """Send reports; answered item by item."""
        return await self._http.post(ReportResults, "/reports", Reports(reports=reports))

    async def heartbeat(self, beat: Heartbeat, patience: float) -> HeartbeatReply:
        """Renew leases; given up after `patience` seconds, since the next one follows."""
        return await self._http.post(HeartbeatReply, "/heartbeats", beat, patience=patience)

    async def logs(self, logs: Logs, patience: float) -> LogResults:
        """Send what trials printed; given up after `patience` seconds."""
        return await self._http.post(LogResults, "/logs", logs, patience=patience)

    async def finish(self, lease: str, body: FinishTrial, patience: float = FOREVER) -> TrialAfter:
        """End the trial."""
        return await self._http.post(TrialAfter, f"/leases/{lease}/finish", body, patience=patience)

    async def release(
        self, lease: str, body: ReleaseTrial, patience: float = FOREVER
    ) -> TrialAfter:
        """Give the trial back."""
        return await self._http.post(
            TrialAfter, f"/leases/{lease}/release", body, patience=patience
        )

    async def record(
        self, lease: str, body: RecordEnvironment, patience: float
    ) -> EnvironmentRecorded:
        """Say what an attempt runs on and with."""
        path = f"/leases/{lease}/environment"
        return await self._http.post(
            EnvironmentRecorded, path, body, method="PUT", patience=patience
        )

    async def upload(self, grant: LeaseGrant, step: int, path: Path) -> None:
        """Store a checkpoint file, streamed: in the store itself where the server can sign."""
        await self._send(grant, path, f"/checkpoints/{step}", step=step)

    async def keep(self, grant: LeaseGrant, name: str, path: Path) -> None:
        """Store a file as an artifact, streamed likewise."""
        await self._send(grant, path, "/artifacts", name=name)

    async def download(self, grant: LeaseGrant, checkpoint: CheckpointView, path: Path) -> None:
        """Fetch the checkpoint to resume from: from the store, or else through the server.

        Raises:
            InvalidInput: what came is not what the server named, thrice.
            NotFound: the file is gone.
        """
        for direct in (True, False, False):
            try:
                got = await self._download(f"/leases/{grant.lease}/checkpoint", path, direct=direct)
            except ServerUnreachable as exc:
                _LOG.warning("%s; the checkpoint comes through the server", exc.detail)
                continue
            if got == checkpoint.sha256:
                return
        raise InvalidInput(f"the checkpoint of step {checkpoint.step} came with a wrong hash")

    async def source(self, grant: LeaseGrant, study: str, trial: str, path: Path) -> None:
        """Fetch the newest checkpoint of another trial of the project; `trial` may be `best`.

        Raises:
            Conflict: that trial keeps none.
            NotFound: there is no such study or trial in the project.
        """
        url, asked = f"/leases/{grant.lease}/source", {"study": study, "trial": trial}
        try:
            await self._download(url, path, direct=True, asked=asked)
        except ServerUnreachable as exc:
            _LOG.warning("%s; the checkpoint comes through the server", exc.detail)
            await self._download(url, path, direct=False, asked=asked)

    async def reject(
        self, grant: LeaseGrant, checkpoint: CheckpointView, reason: str
    ) -> TrialAfter:
        """Give the trial back, since its checkpoint can't be used."""
        body = RejectCheckpoint(
            attempt=grant.attempt, sha256=checkpoint.sha256, reason=reason[:500]
        )
        path = f"/leases/{grant.lease}/checkpoint/reject"
        return await self._http.post(TrialAfter, path, body, wait=_REJECT_S)

    async def _send(
        self, grant: LeaseGrant, path: Path, route: str, *, step: int | None = None, name: str = ""
    ) -> None:
        sha256 = await asyncio.to_thread(digest, path)
        size = path.stat().st_size
        named = {"name": name} if step is None else {}
        ask = AskUpload(attempt=grant.attempt, step=step, sha256=sha256, size=size)
        place = await self._put_outside(grant, ask, path)
        if place is not None:
            whole = {**ask.model_dump(exclude={"step"}), **named, "upload": place.upload}
            kind = RegisterCheckpoint if step is not None else RegisterArtifact
            body = kind.model_validate(whole)
            await self._http.post(Reply, f"/leases/{grant.lease}{route}", body)
            return
        await self._http.send(
            "PUT",
            f"/leases/{grant.lease}{route}",
            params={"attempt": grant.attempt, "sha256": sha256, **named},
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            file=path,
            timeout=max(self._http.timeout, _UPLOAD_S),
        )

    async def _put_outside(
        self, grant: LeaseGrant, ask: AskUpload, path: Path
    ) -> UploadPlace | None:
        """Put a file into the store; None if it must go through the server."""
        for _ in range(_DIRECT_TRIES):
            place = await self._http.post(UploadPlace, f"/leases/{grant.lease}/uploads", ask)
            if place.url is None:
                return None
            try:
                await self._outside.put(place, path)
            except (ServerUnreachable, NotFound) as exc:
                why = exc.detail
            else:
                return place
        _LOG.warning("%s; the file goes through the server", why)
        return None

    async def _download(
        self, url: str, path: Path, *, direct: bool, asked: Mapping[str, str] = _NOTHING
    ) -> str:
        got = await self._http.fetch(url, path, {**asked, **_DIRECT} if direct else asked)
        return await self._outside.get(got.elsewhere, path) if got.elsewhere else got.sha256
