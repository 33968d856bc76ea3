"""When an owner that is watched counts as gone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from storage.epoch import TERM_S, Owner
from storage.owner import OWNING, RENEW_S, STARTING
from storage.standby import POLL_S, UNLOCKED_S, Look, Silence

BEGAN = datetime(2026, 3, 1)


def owner(*, renewals: int = 0, epoch: int = 1, left: bool = False) -> Owner:
    expires = BEGAN + timedelta(seconds=TERM_S + renewals * RENEW_S)
    return Owner(epoch=epoch, name="a", expires_at=expires, left=left, expired=False)


def freed_after(look: Look, *, seconds: float, step: float = POLL_S) -> float | None:
    """Return when the same look, taken over and over, says that the database is free."""
    silence, now = Silence(), 100.0
    while now <= 100.0 + seconds:
        if silence.is_free(look, now):
            return now - 100.0
        now += step
    return None


@pytest.mark.parametrize(
    ("look", "freed"),
    [
        pytest.param(Look(owner=None, locked_by=None), 0.0, id="nobody ever owned it"),
        pytest.param(Look(owner=owner(left=True), locked_by=None), 0.0, id="its owner stopped"),
        pytest.param(Look(owner=owner(), locked_by=None), UNLOCKED_S, id="its owner was killed"),
        pytest.param(Look(owner=owner(), locked_by=OWNING), TERM_S, id="its owner hangs"),
        pytest.param(Look(owner=owner(), locked_by=STARTING), None, id="it is being upgraded"),
        pytest.param(Look(owner=None, locked_by=STARTING), None, id="its first owner starts"),
        pytest.param(Look(owner=owner(left=True), locked_by=OWNING), None, id="it is let go now"),
    ],
)
def test_a_silent_owner_is_gone(look: Look, freed: float | None) -> None:
    assert freed_after(look, seconds=60.0) == freed


def test_an_owner_that_renews_is_never_gone() -> None:
    silence = Silence()
    for tick in range(1000):
        now = tick * POLL_S
        renewed = owner(renewals=int(now / RENEW_S))
        for holder in (OWNING, None):
            assert not silence.is_free(Look(owner=renewed, locked_by=holder), now)


def test_a_new_owner_starts_a_silence_of_its_own() -> None:
    silence = Silence()
    for tick in range(round(TERM_S / POLL_S)):
        assert not silence.is_free(Look(owner=owner(), locked_by=OWNING), tick * POLL_S)
    assert not silence.is_free(Look(owner=owner(epoch=2), locked_by=OWNING), TERM_S)


def test_time_without_looks_is_no_evidence() -> None:
    look = Look(owner=owner(), locked_by=OWNING)
    freed = freed_after(look, seconds=10 * 3600.0, step=3600.0)
    assert freed is not None
    assert freed / 3600.0 >= TERM_S / (2 * POLL_S)
