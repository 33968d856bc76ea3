"""The fleet: workers register, are heard, sign off, and are shown."""

from __future__ import annotations

import secrets
from datetime import timedelta

from starlette.responses import Response

from api.access import Actor
from api.idempotency import Key, write
from api.listing import Order, cut
from api.services import Services
from storage.memory import Reader
from storage.transaction import Transaction
from tuner.access import Identity, Role
from tuner.errors import NotAllowed
from tuner.study import Study
from tuner.trial import Worker
from tuner.wire import Registered, RegisterWorker, WorkerPage, WorkerView


async def register(
    services: Services, body: RegisterWorker, key: Key | None, who: Identity
) -> Response:
    """Add a worker to the fleet, bound to the token it registers with.

    Sent again under its key, it is the same worker.
    """
    now = services.clock()
    worker = Worker(
        worker_id=f"w-{secrets.token_urlsafe(9)}",
        name=body.name,
        host=body.host,
        slots=body.slots,
        gpus=tuple(body.gpus),
        labels=body.labels,
        allow=tuple(body.allow),
        tasks=tuple(body.tasks),
        allow_commands=tuple(body.allow_commands),
        allow_env=tuple(body.allow_env),
        registered_at=now,
        seen_at=now,
        token_id=who.token_id,
        project=who.project,
    )

    def command(tx: Transaction) -> Registered:
        tx.put_worker(worker)
        return reply

    reply = Registered(
        worker_id=worker.worker_id,
        lease_s=services.settings.lease_s,
        heartbeat_s=services.settings.heartbeat_s,
    )
    response = await write(services, key, command, status=201)
    known = Registered.model_validate_json(bytes(response.body))
    services.deadlines.hear(known.worker_id)
    return response


async def touch(
    services: Services, worker_id: str, who: Identity, trouble: str | None = None
) -> None:
    """Note that a worker was heard; stored at most once in a heartbeat's time.

    `trouble` says why it is out of service, empty that it is not, None nothing.

    Raises:
        NotAllowed: it registered with another access token.
        NotFound: it is not registered, or was forgotten.
    """
    worker = _own(services.ledger.memory, worker_id, who)
    services.deadlines.hear(worker_id)
    if trouble is not None:
        services.troubles.tell(worker, trouble)
    seen = worker.seen_at
    now = services.clock()
    if abs(now - seen) < timedelta(seconds=services.settings.heartbeat_s * 0.9):
        return

    def store(tx: Transaction) -> None:
        tx.put_worker(tx.worker(worker_id).evolve(seen_at=now))

    await services.ledger.write(store)


async def sign_off(services: Services, worker_id: str, actor: Actor) -> None:
    """Take a worker that leaves off the fleet; leases it still holds run out.

    Raises:
        NotAllowed: it registered with another access token.
        NotFound: it is not registered, or was forgotten.
    """

    def command(tx: Transaction) -> None:
        worker = _own(tx, worker_id, actor.identity)
        tx.drop_worker(worker.worker_id)
        if worker.token_id != actor.identity.token_id:
            actor.note(tx, services, "sign-off", worker=worker_id, name=worker.name)

    await services.ledger.write(command)
    services.deadlines.forget(worker_id)
    services.troubles.forget(worker_id)
    services.cordons.forget(worker_id)


def _own(reader: Reader, worker_id: str, who: Identity) -> Worker:
    worker = reader.worker(worker_id)
    if worker.token_id != who.token_id and who.role is not Role.ADMIN:
        raise NotAllowed("the worker registered with another token")
    return worker


def page(services: Services, who: Identity, *, limit: int, cursor: str | None) -> WorkerPage:
    """Show a page of the workers that `who` may see, the latest first, with such trials of theirs.

    A token of one project sees that project's workers, and those that serve all.

    Raises:
        InvalidInput: the cursor is none of this list's.
    """
    memory, running = services.ledger.memory, _running(services, who)
    latest: Order[Worker] = Order(
        value=lambda w: f"{w.registered_at.isoformat()} {w.worker_id}",
        ident=lambda _: 0,
        reverse=True,
    )
    known = [w for w in memory.workers() if w.project is None or who.sees(w.project)]
    found, more = cut(known, latest, ("workers",), limit=limit, cursor=cursor)
    items = [_view(services, w, running.get(w.worker_id, []), who) for w in found]
    return WorkerPage(items=items, next_cursor=more)


def show(services: Services, worker: Worker, who: Identity) -> WorkerView:
    """Show one worker, with such trials of its that `who` may see."""
    return _view(services, worker, _running(services, who).get(worker.worker_id, []), who)


def _running(services: Services, who: Identity) -> dict[str, list[str]]:
    memory = services.ledger.memory
    running: dict[str, list[str]] = {}
    studies: dict[int, Study] = {s.study_id: s for s in memory.studies()}
    for lease in memory.leases():
        seen = who.sees(studies[lease.study_id].spec.queue.project)
        if lease.worker_id is not None and seen:
            label = f"{studies[lease.study_id].name}/{lease.number}"
            running.setdefault(lease.worker_id, []).append(label)
    return running


def _view(services: Services, worker: Worker, running: list[str], who: Identity) -> WorkerView:
    trouble = services.troubles.of(worker)
    if trouble and who.project is not None:
        trouble = "its trials failed"  # whose and how may be another project's matter
    return WorkerView(
        worker_id=worker.worker_id,
        name=worker.name,
        host=worker.host,
        slots=worker.slots,
        gpus=list(worker.gpus),
        labels=dict(worker.labels),
        allow=list(worker.allow),
        allow_commands=list(worker.allow_commands),
        allow_env=list(worker.allow_env),
        alive=services.deadlines.is_alive(worker),
        trouble=trouble,
        drained_by=services.cordons.by(worker.worker_id),
        silent_s=round(services.deadlines.silence(worker), 1),
        registered_at=worker.registered_at,
        seen_at=worker.seen_at,
        running=sorted(running),
    )
