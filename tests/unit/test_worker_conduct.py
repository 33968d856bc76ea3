"""When a worker leaves service, and how it comes back."""

from __future__ import annotations

import pytest

from tests.unit.plain_clock import PlainClock
from tuner.worker.conduct import LONGEST_PAUSE_S, PAUSE_S, Conduct
from tuner.worker.endings import Ending

OK = Ending(outcome="complete")
PLAIN = Ending(outcome="failed", error="ValueError: broken")
CRASH = Ending(outcome="failed", error="the process was killed by SIGSEGV", node=True)
OOM = Ending(outcome="oom", error="MemoryError")
REFUSED = Ending(outcome="failed", error="not allowed", retry=False)
LEFT = Ending(outcome="left")


class Worker:
    """A conduct, its clock, and what is told it."""

    def __init__(self, most: int = 3) -> None:
        self.clock = PlainClock()
        self.conduct = Conduct(most, 60.0, clock=self.clock)

    def ends(self, *endings: Ending, study: int = 1, took: float = 1.0) -> None:
        for ending in endings:
            self.conduct.note(study, f"s{study} #0", ending, took)

    @property
    def serves(self) -> bool:
        return not self.conduct.trouble and self.conduct.allowed(4, idle=True) == 4


@pytest.mark.parametrize(
    ("endings", "serves"),
    [
        ([CRASH, CRASH], True),
        ([CRASH, CRASH, CRASH], False),
        ([CRASH, CRASH, OK, CRASH, CRASH], True),  # not in a row
        ([CRASH, CRASH, REFUSED, LEFT, CRASH], False),  # these say nothing of it
        ([CRASH, CRASH, PLAIN, CRASH, CRASH], True),
        ([PLAIN, PLAIN, PLAIN, PLAIN], True),  # the study's code may be all that is wrong
        ([OOM, OOM, OOM], True),
        ([REFUSED] * 9, True),
    ],
)
def test_crashes_in_a_row_end_the_service(endings: list[Ending], serves: bool) -> None:
    worker = Worker()
    worker.ends(*endings)
    assert worker.serves is serves


def test_failures_of_two_studies_end_the_service() -> None:
    worker = Worker()
    worker.ends(PLAIN, PLAIN)
    worker.ends(OOM, study=2)
    assert not worker.serves
    assert "3 trials in a row failed within 60 s, the last s2 #0: MemoryError" in (
        worker.conduct.trouble
    )


def test_slow_failures_are_no_sign() -> None:
    worker = Worker()
    worker.ends(CRASH, CRASH, CRASH, took=61.0)
    assert worker.serves


def test_zero_lets_any_number_pass() -> None:
    worker = Worker(most=0)
    worker.ends(*[CRASH] * 50)
    assert worker.serves
    assert worker.conduct.avoided() == []


def test_a_study_that_fails_alone_is_avoided_for_longer_and_longer() -> None:
    worker = Worker()
    worker.ends(PLAIN, PLAIN)
    assert worker.conduct.avoided() == []
    worker.ends(PLAIN)
    assert worker.conduct.avoided() == [1]
    worker.ends(PLAIN, PLAIN)  # those that ran beside it lengthen nothing
    worker.clock.seconds += PAUSE_S
    assert worker.conduct.avoided() == []
    worker.ends(PLAIN)
    worker.clock.seconds += PAUSE_S
    assert worker.conduct.avoided() == [1]
    worker.clock.seconds += PAUSE_S
    assert worker.conduct.avoided() == []
    worker.ends(OK)
    worker.ends(PLAIN, PLAIN)
    assert worker.conduct.avoided() == []


def test_one_failure_of_another_study_after_that_ends_the_service() -> None:
    worker = Worker()
    worker.ends(PLAIN, PLAIN, PLAIN)
    worker.ends(PLAIN, study=2)
    assert not worker.serves


def test_it_tests_itself_with_one_trial_and_comes_back() -> None:
    worker = Worker()
    worker.ends(CRASH, CRASH, CRASH)
    conduct = worker.conduct
    assert conduct.allowed(4, idle=True) == 0
    worker.clock.seconds += PAUSE_S
    assert conduct.allowed(4, idle=False) == 0
    assert conduct.allowed(4, idle=True) == 1
    worker.ends(LEFT)  # which proves nothing
    assert conduct.allowed(4, idle=True) == 1
    worker.ends(OK)
    assert worker.serves


def test_the_pause_grows_with_each_test_that_fails() -> None:
    worker = Worker()
    worker.ends(CRASH, CRASH, CRASH)
    pause = PAUSE_S
    for _ in range(8):
        worker.clock.seconds += pause - 1
        assert worker.conduct.allowed(1, idle=True) == 0
        worker.clock.seconds += 1
        assert worker.conduct.allowed(1, idle=True) == 1
        worker.ends(PLAIN)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    assert pause == LONGEST_PAUSE_S
    assert "11 trials in a row" in worker.conduct.trouble
