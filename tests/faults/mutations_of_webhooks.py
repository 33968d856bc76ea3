"""How the promises about webhooks are broken on purpose; see `mutations_of_the_store`."""

from __future__ import annotations

_SENT = """\
        async with self._turns:
            answer = await send(services, webhook, message)
"""
_RECORDED_BEFORE = """\
        told = webhook.evolve(cursor=event.seq)
        await services.ledger.write(lambda tx: tx.put_webhook(told))
        self._position = event.seq or 0
        async with self._turns:
            answer = await send(services, webhook, message)
"""

TOLD = "Webhooks tell each event"

MUTATIONS: list[tuple[str, str, str, str, str]] = [
    # The place moves on before the receiver has taken the message.
    (
        TOLD,
        "api/webhooks/dispatch.py",
        _SENT,
        _RECORDED_BEFORE,
        "test_webhooks.py::test_sqlite",
    ),
    # The place is not read back: all is told again from the first event on.
    (
        TOLD,
        "storage/webhook_rows.py",
        '        cursor=row["cursor"],\n',
        "        cursor=0,\n",
        "test_webhooks.py::test_postgresql",
    ),
    # A message that is sent again has another id, and can't be known again.
    (
        TOLD,
        "api/webhooks/message.py",
        '    return Message(f"{webhook.webhook_id}-{event.seq}", topic, event.seq, body)\n',
        "    message_id = new_secret()[6:30]\n"
        "    return Message(message_id, topic, event.seq, body)\n",
        "test_webhooks.py::test_sqlite",
    ),
    # What a receiver refuses counts as told.
    (
        TOLD,
        "api/webhooks/rules.py",
        "    if answer.status is not None and 200 <= answer.status < 300:\n        return",
        "    if answer.status is not None:\n        return",
        "test_webhooks.py::test_sqlite",
    ),
]
