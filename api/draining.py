"""Taking workers out of service by hand, and back."""

from __future__ import annotations

from api import workers
from api.access import Actor
from api.services import Services
from storage.audit import newest_of_actions
from storage.transaction import Transaction
from tuner.errors import NotAllowed, NotFound
from tuner.trial import Worker
from tuner.wire import WorkerView

DRAIN = "drain"
UNDRAIN = "undrain"
_MOST_READ = 20_000


async def restore(services: Services) -> None:
    """Take up which of the known workers were drained when the server ended."""
    known = {w.worker_id for w in services.ledger.memory.workers()}
    if not known:
        return
    entries = await newest_of_actions(services.ledger, (DRAIN, UNDRAIN), _MOST_READ)
    for entry in reversed(entries):
        worker_id = str(entry.detail.get("worker", ""))
        if worker_id in known:
            services.cordons.put(worker_id, entry.who if entry.action == DRAIN else "")


async def drain(services: Services, worker_id: str, actor: Actor) -> WorkerView:
    """Lease a worker no further trials. Done twice, it is as done once.

    Raises:
        NotAllowed: it serves all projects, and the token is of one.
        NotFound: it is not registered, was forgotten, or is another project's.
    """
    return await _turn(services, worker_id, actor, actor.identity.name)


async def undrain(services: Services, worker_id: str, actor: Actor) -> WorkerView:
    """Lease trials to a drained worker again. Raises as `drain`."""
    return await _turn(services, worker_id, actor, "")


async def _turn(services: Services, worker_id: str, actor: Actor, by: str) -> WorkerView:
    def command(tx: Transaction) -> Worker:
        worker = tx.worker(worker_id)
        project, own = worker.project, actor.identity.project
        if own is not None and project is None:
            raise NotAllowed("the worker serves all projects: a token of all may drain it")
        if own is not None and project != own:
            raise NotFound(f"no worker has the id {worker_id}")
        if services.cordons.holds(worker_id) != bool(by):
            action = DRAIN if by else UNDRAIN
            actor.note(tx, services, action, worker=worker_id, name=worker.name)
        return worker

    worker = await services.ledger.write(command)
    if services.cordons.holds(worker_id) != bool(by):
        services.cordons.put(worker_id, by)
    return workers.show(services, worker, actor.identity)
