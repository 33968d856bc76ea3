"""Deleting studies that are over: rows, events, checkpoints and files."""

from __future__ import annotations

import asyncio
import logging

from starlette.responses import Response

from api import idempotency, studies, versions
from api.access import Actor
from api.files.orphans import stores
from api.idempotency import Key
from api.services import Services
from api.webhooks import service as webhooks
from storage.transaction import Transaction
from tuner.errors import TunerError
from tuner.wire import StudyView

_log = logging.getLogger(__name__)


async def delete(
    services: Services,
    ref: str,
    key: Key | None,
    expected: frozenset[str] | None,
    actor: Actor,
) -> Response:
    """Take a study out of sight and answer how it was.

    Its rows follow piece by piece, its files before the answer.

    Raises:
        NotFound: there is no such study.
        PreconditionFailed: it was changed meanwhile.
        StudyState: it is not over.
    """
    dropped: set[int] = set()

    def command(tx: Transaction) -> StudyView:
        study = studies.find(tx, ref)
        versions.check(study, expected)
        view = studies.show(tx, services, study)
        tx.drop_study(study.study_id)
        actor.note(tx, services, "delete", study)
        webhooks.study_dropped(tx, study.study_id)
        dropped.add(study.study_id)
        return view

    response = await idempotency.write(services, key, command)
    for study_id in dropped:
        await asyncio.to_thread(_remove_files, services, study_id)
    return response


def _remove_files(services: Services, study_id: int) -> None:
    if services.foreign_store.is_set():
        _log.warning("files of the deleted study %d stay: the store is not ours", study_id)
        return
    for store in stores(services):
        try:
            store.delete_all(str(study_id))
        except TunerError as exc:
            where, why = store.name, exc.detail
            _log.warning("files of the deleted study %d stay in %s: %s", study_id, where, why)
