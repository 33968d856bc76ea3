"""The client of a tuner server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload
from urllib.parse import quote

import httpx

from tuner.access import Role
from tuner.client.address import from_environment
from tuner.client.adopting import adopt, check_adoption
from tuner.client.asking import ask
from tuner.client.live import LiveMessage, follow
from tuner.client.retry import Patience
from tuner.client.study import OUTAGE, StudyHandle
from tuner.client.transport import Transport
from tuner.client.trial import LeasedTrial
from tuner.client.webhooks import Webhooks
from tuner.errors import InvalidInput, NotFound
from tuner.spec.read import parse_json, parse_yaml
from tuner.wire import (
    AdoptTrials,
    AuditPage,
    AuditView,
    CreatedToken,
    Dryrun,
    EventPage,
    EventView,
    ProjectPage,
    ProjectView,
    StudyPage,
    StudyView,
    TokenList,
    TokenView,
    WorkerPage,
    WorkerView,
)


class Client:
    """A tuner server, in the hands of who submits studies.

    Guarantees: every request has a time-out; only what is harmless to repeat is sent again; what
    goes wrong raises a `tuner.errors.TunerError`.

    Args:
        url: where the server is; `TUNER_URL` or this machine's own by default.
        token: `TUNER_TOKEN` by default, or the admin token stored on this machine if the server
            is on it.
        timeout_s: seconds a request may take, waiting the server was asked for excepted.
        patience_s: seconds to go on trying while the server is away or busy.
        ca: file of the authority (PEM) that signed the server's certificate; `TUNER_CA`, or those
            the system trusts, by default.
        transport: replaces the network (tests).
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 10.0,
        patience_s: float = 30.0,
        ca: str | Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        url, token = from_environment(url, token)
        self._transport = Transport(
            url,
            token,
            timeout_s=timeout_s,
            patience=Patience(total=patience_s),
            ca=ca,
            transport=transport,
        )

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._transport.url

    @overload
    def submit(
        self,
        document: str | Path | Mapping[str, Any],
        dry_run: Literal[False] = False,
        *,
        paused: bool = False,
    ) -> StudyHandle: ...

    @overload
    def submit(
        self, document: str | Path | Mapping[str, Any], dry_run: Literal[True]
    ) -> Dryrun: ...

    def submit(
        self,
        document: str | Path | Mapping[str, Any],
        dry_run: bool = False,
        *,
        paused: bool = False,
    ) -> StudyHandle | Dryrun:
        """Submit a study document: a file's path (`.json`, else YAML) or a mapping.

        With `dry_run` it is only checked; the answer is the document filled in, and warnings. With
        `paused` nothing starts until it is resumed.

        Raises:
            InvalidInput: the document breaks the rules; `faults` says where.
            Malformed: the file is neither JSON nor YAML.
            DuplicateName: a study of this name exists.
            FileNotFoundError: there is no such file.
        """
        body = document if isinstance(document, Mapping) else _read(Path(document))
        if not isinstance(body, Mapping):
            raise InvalidInput(f"{document} holds no mapping of keys to values")
        if dry_run:
            return self._transport.post(Dryrun, "/studies", body, dry_run="true")
        if paused:
            view = self._transport.post(StudyView, "/studies", body, paused="true")
        else:
            view = self._transport.post(StudyView, "/studies", body)
        return StudyHandle(self._transport, view)

    def study(self, study: int | str) -> StudyHandle:
        """Return a study by its id or name.

        Raises:
            NotFound: there is none.
        """
        path = f"/studies/{self._segment(study)}"
        return StudyHandle(self._transport, self._transport.get(StudyView, path))

    def adopt(
        self,
        document: Mapping[str, Any],
        batches: Iterable[AdoptTrials],
        *,
        source: str = "",
        user_attrs: Mapping[str, Any] | None = None,
        told: Callable[[int], None] | None = None,
    ) -> StudyHandle:
        """Give the server a study that ran elsewhere, and return it; `tuner import` does this.

        If a call breaks off, the same call goes on where it ended.

        Args:
            document: its study document, with a name.
            batches: its trials in order; the last batch is marked so.
            source: where it came from, for people to read.
            user_attrs: its user attributes.
            told: called with the number of trials sent so far.

        Raises:
            DuplicateName: another study has this name.
            InvalidInput: the document or a trial breaks the rules.
        """
        adopted = adopt(
            self._transport, document, batches, source=source, user_attrs=user_attrs, told=told
        )
        return self.study(adopted.id)

    def adopt_dry_run(self, document: Mapping[str, Any]) -> Dryrun:
        """Return the document of a study to adopt as the service reads it, with warnings."""
        return check_adoption(self._transport, document)

    def studies(self, **query: str | None) -> Iterator[StudyHandle]:
        """Iterate over studies, newest first.

        Args:
            query: `state`, `project`, `owner`, `tag`, `name` (how it begins) choose; `sort` is
                `created`, `name`, `priority` or `best`, with `-` in front the other way round.

        Raises:
            InvalidInput: there is no such filter or order.
        """
        views: Iterator[StudyView] = self._transport.pages(StudyPage, "/studies", **query)
        return (StudyHandle(self._transport, view) for view in views)

    def create_token(
        self,
        name: str,
        role: Role | str,
        *,
        project: str | None = None,
        expires_s: int | None = None,
    ) -> CreatedToken:
        """Make a token. Its `secret` is in this answer and kept nowhere: store it safely.

        Raises:
            Conflict: a token of this name exists.
            NotAllowed: this client's token is no admin's.
        """
        body = {"name": name, "role": role, "project": project, "expires_s": expires_s}
        return self._transport.post_once(CreatedToken, "/tokens", body)

    def tokens(self) -> list[TokenView]:
        """Return the tokens, oldest first, without their secrets."""
        return list(self._transport.pages(TokenList, "/tokens"))

    def revoke_token(self, token: str) -> TokenView:
        """Make a token, by id or name, void at once. Raises NotFound."""
        return self._transport.delete(TokenView, f"/tokens/{self._segment(token)}")

    def audit(
        self, *, study: int | str | None = None, who: str | None = None, action: str | None = None
    ) -> Iterator[AuditView]:
        """Iterate over what people changed, newest first."""
        chosen = {"study": study, "who": who, "action": action}
        found: Iterator[AuditView] = self._transport.pages(AuditPage, "/audit", **chosen)
        return found

    def events(
        self, study: int | str | None = None, after: int | str | None = None
    ) -> Iterator[EventView]:
        """Iterate over events as they happen, for ever: each once, in order, over all breaks.

        Args:
            study: id or name; None is all studies.
            after: an event's `seq` to begin after, 0 for all there are; None begins now.

        Raises:
            ServerUnreachable: the server was away for ten minutes.
        """
        found = (message.data for message in self.live(study, after))
        return (data for data in found if isinstance(data, EventView))

    def past_events(self, study: int | str | None = None, after: int = 0) -> Iterator[EventView]:
        """Iterate over the events stored so far, from the one after sequence number `after`."""
        path = "/events" if study is None else f"/studies/{self._segment(study)}/events"
        while True:
            page = self._transport.get(EventPage, path, after=after)
            yield from page.items
            if page.next_cursor is None:
                return
            after = int(page.next_cursor)

    def live(
        self, study: int | str | None = None, after: int | str | None = None
    ) -> Iterator[LiveMessage]:
        """Iterate over all messages of the event stream: see `events`."""
        path = "/events" if study is None else f"/studies/{self._segment(study)}/events"
        return follow(self._transport, path, after, OUTAGE)

    def workers(self) -> list[WorkerView]:
        """Return the workers the server knows."""
        return list(self._transport.pages(WorkerPage, "/workers"))

    def projects(self) -> list[ProjectView]:
        """Return the projects with what they use, and may use."""
        return list(self._transport.pages(ProjectPage, "/projects"))

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks, for admins."""
        return Webhooks(self._transport)

    def ask(
        self,
        study: int | str,
        wait_s: float = 0.0,
        *,
        report_timeout_s: float = 10.0,
        record: bool = True,
    ) -> LeasedTrial:
        """Lease the next trial of a study, to be trained by the caller.

        Args:
            study: id or name.
            wait_s: seconds to wait for one, at most 60.
            report_timeout_s: seconds a report may take before the last known decision is used.
            record: whether to record the code, packages and machine, for `tuner reproduce`.

        Raises:
            NoTrial: there is none now, or the study is over.
        """
        return ask(
            self._transport,
            self._segment(study),
            wait_s=wait_s,
            report_timeout_s=report_timeout_s,
            record=record,
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _segment(self, study: int | str) -> str:
        """Return a study's id or name as one segment of a path.

        Raises:
            NotFound: no study can have this name, and no path can carry it.
        """
        if study in (".", ".."):
            raise NotFound(f"no study is named {study!r}")
        return quote(str(study), safe="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.url}>"


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return parse_json(text) if path.suffix == ".json" else parse_yaml(text)
