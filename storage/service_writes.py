"""What a batch writes beside studies and trials: fleet, access, webhooks, remarks, replies."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

from storage.changes import StoredReply, StoredSession
from storage.overlay_reader import OverlayReader
from tuner.access import AuditEntry, Token
from tuner.errors import Conflict, NotFound
from tuner.remark import Remark, SavedView
from tuner.trial import Worker
from tuner.webhook import Delivery, Webhook

REPLY_KEPT = timedelta(hours=24)
"""How long an idempotent reply is kept."""


class ServiceWrites(OverlayReader):
    """The part of a `Transaction` that is of the service itself."""

    def put_worker(self, worker: Worker) -> None:
        """Register a worker or replace it."""
        self._set(self.overlay.workers, worker.worker_id, worker)

    def drop_worker(self, worker_id: str) -> None:
        """Take a worker off the fleet. Raises NotFound."""
        if self._find_worker(worker_id) is None:
            raise NotFound(f"no worker has the id {worker_id}")
        self._set(self.overlay.workers, worker_id, None)

    def new_token(self, token: Token) -> None:
        """Make a token valid. Raises Conflict if another one has its name."""
        if any(t.name == token.name for t in self.tokens()):
            raise Conflict(f"a token named {token.name!r} exists")
        self._set(self.overlay.tokens, token.digest, token)

    def drop_token(self, digest: str) -> None:
        """Make a token void. Raises NotFound."""
        if self.token(digest) is None:
            raise NotFound("there is no such token")
        self._set(self.overlay.tokens, digest, None)

    def add_audit(self, entry: AuditEntry) -> None:
        """Append to the audit log; the entry gets its `seq` from the database."""
        self._set(self.overlay.audit, len(self.overlay.audit), entry)

    def put_session(self, session: StoredSession) -> None:
        """Keep a browser's session; those that are over are forgotten."""
        self._set(self.overlay.sessions, session.key, session)

    def drop_session(self, key: str) -> None:
        """Forget a browser's session."""
        self._set(self.overlay.sessions, key, None)

    def put_webhook(self, webhook: Webhook) -> None:
        """Store a webhook or replace it."""
        self._set(self.overlay.webhooks, webhook.webhook_id, webhook)

    def drop_webhook(self, webhook_id: str) -> None:
        """Remove a webhook and what was tried to deliver. Raises NotFound."""
        self.webhook(webhook_id)
        self._set(self.overlay.webhooks, webhook_id, None)

    def add_delivery(self, delivery: Delivery) -> None:
        """Append an attempt to deliver. Raises NotFound."""
        self.webhook(delivery.webhook_id)
        self._set(self.overlay.deliveries, (delivery.webhook_id, delivery.number), delivery)

    def put_remark(self, remark: Remark) -> None:
        """Replace what is noted on a study or a trial. Raises NotFound."""
        if remark.number is None:
            self.study(remark.study_id)
        else:
            self.trial(remark.study_id, remark.number)
        empty = not (remark.text or remark.tags or remark.pinned)
        self._set(self.overlay.remarks, remark.key, None if empty else remark)

    def put_view(self, view: SavedView) -> None:
        """Save a view of the dashboard, or replace it."""
        self._set(self.overlay.views, view.view_id, view)

    def drop_view(self, view_id: str) -> None:
        """Remove a saved view."""
        self._set(self.overlay.views, view_id, None)

    def put_reply(self, key: str, digest: str, status: int, body: bytes, now: datetime) -> None:
        """Keep the reply to a request with an Idempotency-Key, for `REPLY_KEPT`."""
        for old in islice(self._base.replies.values(), 2):
            if old.at < now - REPLY_KEPT and old.key not in self.overlay.replies:
                self._set(self.overlay.replies, old.key, None)
        reply = StoredReply(key=key, digest=digest, status=status, body=body, at=now)
        self._set(self.overlay.replies, key, reply)
