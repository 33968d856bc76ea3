"""What webhooks are told, how it is signed, and when it is tried again."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from api.webhooks.message import headers_of, new_secret, sample_message, sign
from api.webhooks.network import Answer, seconds_of
from api.webhooks.rules import after, pause, why_not
from tests.receiver import documented_verify
from tuner.trial import Event, EventKind
from tuner.webhook import USUAL, Topic, Webhook, kind_of, topics_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def hook(**changes: object) -> Webhook:
    made = Webhook(
        webhook_id="wh_1",
        url="https://hooks.example/",
        secret=new_secret(),
        topics=USUAL,
        created_by="admin",
        created_at=NOW,
        cursor=3,
    )
    return made.evolve(**changes)


def event(kind: EventKind, **data: object) -> Event:
    return Event(study_id=1, kind=kind, at=NOW, number=0, data=data, seq=9)


def test_every_kind_of_event_can_be_told() -> None:
    for kind in EventKind:
        topics = topics_of(event(kind), best=False)
        assert topics, kind
        assert {kind_of(topic) for topic in topics} == {kind}
    assert {kind_of(topic) for topic in Topic} == set(EventKind)


@pytest.mark.parametrize(
    ("told", "best", "wanted", "chosen"),
    [
        (event(EventKind.FINISHED, why="budget"), False, USUAL, Topic.STUDY_FINISHED),
        (event(EventKind.FINISHED, why="failures"), False, USUAL, Topic.STUDY_FAILED),
        (
            event(EventKind.FINISHED, why="failures"),
            False,
            (Topic.STUDY_FINISHED,),
            Topic.STUDY_FINISHED,
        ),
        (event(EventKind.ENDED, outcome="complete"), False, USUAL, None),
        (event(EventKind.ENDED, outcome="failed"), False, USUAL, Topic.TRIAL_FAILED),
        (event(EventKind.ENDED, outcome="oom"), False, USUAL, Topic.TRIAL_FAILED),
        (event(EventKind.ENDED, outcome="complete"), True, tuple(Topic), Topic.TRIAL_BEST),
        (event(EventKind.UNTOLD), False, (Topic.WEBHOOK_DISABLED,), Topic.WEBHOOK_DISABLED),
    ],
)
def test_an_event_is_told_as_the_most_special(
    told: Event, best: bool, wanted: tuple[Topic, ...], chosen: Topic | None
) -> None:
    assert hook(topics=wanted).chosen(topics_of(told, best=best)) is chosen


def test_a_signature_of_the_specification() -> None:
    """The example of the Standard Webhooks libraries' own tests."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    signed = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_documented_verification_takes_ours_and_no_other() -> None:
    verify = documented_verify()
    webhook, now = hook(), int(time.time())
    message = sample_message(webhook, NOW)
    headers = headers_of(message, webhook.secret, now)
    verify(webhook.secret, headers, message.body)
    both = {**headers, "webhook-signature": f"v1,AAAA {headers['webhook-signature']}"}
    verify(webhook.secret, both, message.body)
    old = headers_of(message, webhook.secret, now - 600)
    for secret, given, body in (
        (new_secret(), headers, message.body),
        (webhook.secret, headers, message.body + b" "),
        (webhook.secret, {**headers, "webhook-id": "other"}, message.body),
        (webhook.secret, {**headers, "webhook-timestamp": str(now + 1)}, message.body),
        (webhook.secret, old, message.body),
    ):
        with pytest.raises(ValueError, match="the "):
            verify(secret, given, body)
    assert json.loads(message.body)["type"] == "webhook.test"
    assert webhook.secret not in repr(webhook)


FAILING = hook(attempts=7, failing_since=NOW - timedelta(hours=24))


@pytest.mark.parametrize(
    ("before", "answer", "cursor", "attempts", "active"),
    [
        (hook(), Answer(took_ms=1, status=204), 9, 0, True),
        (FAILING, Answer(took_ms=1, status=200), 9, 0, True),
        (hook(), Answer(took_ms=1, status=500), 3, 1, True),
        (hook(), Answer(took_ms=1, status=302), 3, 1, True),  # a redirect delivers nothing
        (hook(), Answer(took_ms=1, error="no answer in time"), 3, 1, True),
        (hook(), Answer(took_ms=1, status=410), 3, 1, False),
        (FAILING, Answer(took_ms=1, status=503), 3, 8, False),  # a day
        (FAILING.evolve(attempts=6), Answer(took_ms=1, status=503), 3, 7, True),  # too few
        (FAILING.evolve(failing_since=NOW), Answer(took_ms=1, status=503), 3, 8, True),
    ],
)
def test_after_an_attempt(
    before: Webhook, answer: Answer, cursor: int, attempts: int, active: bool
) -> None:
    then = after(before, answer, 9, NOW)
    assert (then.cursor, then.attempts, then.active) == (cursor, attempts, active)
    assert (then.failing_since is None) == (attempts == 0)
    assert bool(then.reason) == (not active)
    assert bool(why_not(answer)) == (attempts > 0)


@pytest.mark.parametrize(
    ("attempts", "asked", "jitter", "seconds"),
    [
        (1, None, 0.0, 2.5),
        (1, None, 1.0, 5.0),
        (2, None, 1.0, 10.0),
        (5, None, 1.0, 80.0),
        (30, None, 1.0, 3600.0),
        (10**6, None, 0.0, 1800.0),
        (1, 100.0, 0.5, 100.0),  # the receiver asks for more
        (9, 1.0, 1.0, 1280.0),  # and not for less
        (1, 1e12, 0.0, 86400.0),
    ],
)
def test_pauses(attempts: int, asked: float | None, jitter: float, seconds: float) -> None:
    assert pause(attempts, asked, jitter) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", None),
        ("120", 120.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("9" * 400, 9999999999.0),
        ("٣", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert seconds_of(header, NOW.timestamp()) == seconds
