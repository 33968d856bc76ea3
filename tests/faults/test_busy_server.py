"""An overloaded server, as the worker meets it: it comes back when told, and loses nothing."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.faults.gateway import Gateway
from tests.faults.light import PATIENCE_S, Rounds, Tally, serving, study
from tests.faults.nodes import Node, lay_code

PROMISE = "Overload"
STEPS, AFTER_S = 6, 1


def test_real_workers(tmp_path: Path, tally: Tally, rounds: Rounds) -> None:
    """Three in ten requests are turned away: reports, leases, heartbeats, checkpoints and ends."""
    trials = rounds(48, 4)
    lay_code(tmp_path)
    spec = study("code_main:main", budget={"trials": trials, "steps": STEPS})
    with serving(tmp_path, {"heartbeat": 2.0}) as (server, book), ExitStack() as stack:
        server.call("POST", "/studies", spec)
        gateway = stack.enter_context(Gateway(server.url, chance=0.3, after=AFTER_S))
        nodes = [
            stack.enter_context(
                Node(server, tmp_path, name, url=gateway.url, slots=4, until_idle=2.0)
            )
            for name in ("a", "b")
        ]
        assert [node.wait(PATIENCE_S * 10) for node in nodes] == [0, 0]
        state = server.call("GET", "/studies/study")["state"]
        ends = book.rows("SELECT ended_why, count(*) FROM tuner_attempts GROUP BY 1")
        reports = book.rows("SELECT count(*), count(DISTINCT trial_id) FROM tuner_reports")
    early = [pause for pause in gateway.pauses if pause.seconds < AFTER_S]
    lost = trials * STEPS - int(reports[0][0])
    first = [pause.seconds for pause in gateway.pauses if pause.refusals == 1]
    spread = max(first) - min(first)
    print(*early, sep="\n")
    note = f"requests refused of real workers, {trials * STEPS} reports; {spread:.2f} s of jitter"
    tally(PROMISE, gateway.refused, len(early) + lost, note)
    assert early == []
    assert (state, ends, reports) == ("finished", [("ended", trials)], [(trials * STEPS, trials)])
    assert spread > AFTER_S / 5
