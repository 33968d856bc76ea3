"""Leasing a trial for an own loop."""

from __future__ import annotations

from tuner.client.transport import Transport
from tuner.client.trial import LeasedTrial
from tuner.errors import NoTrial
from tuner.spec.read import validate
from tuner.wire import AskTrial, Leases


def ask(
    transport: Transport,
    study: int | str,
    *,
    wait_s: float,
    report_timeout_s: float,
    record: bool = True,
) -> LeasedTrial:
    """Lease a trial of a study, by id or name; `record` what it runs on and with.

    Raises:
        NoTrial: there is none now, or the study is over.
    """
    body = validate(AskTrial, {"wait_s": wait_s})
    path = f"/studies/{study}/ask"
    reply = transport.post(Leases, path, body, wait_s=body.wait_s)
    if not reply.leases:
        raise NoTrial("the study has no trial to hand out now")
    return LeasedTrial(
        transport,
        reply.leases[0],
        heartbeat_s=reply.heartbeat_s,
        report_timeout_s=report_timeout_s,
        record=record,
    )
