"""What the demo says at its end, and the frames of the live display."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import Console

from tests.unit.fakes import NOW, FakeServer, best_view, over, study_view, trial_view
from tuner.cli.live import render
from tuner.cli.summary import findings_text, halved_text, pruned_text, schedule_text, summary
from tuner.decision import Outcome
from tuner.trial import EventKind, Origin, TrialState
from tuner.wire import EventView, TrialView


def cuts(*places: tuple[int, int]) -> Iterator[EventView]:
    for seq, (number, step) in enumerate(places):
        yield EventView(
            seq=seq, kind=EventKind.HALVED, at=NOW, study_id=7, number=number, step=step
        )


def pruned(number: int, step: int) -> TrialView:
    return trial_view(number, 1.0, outcome=Outcome.PRUNED, last_step=step)


def test_pruned() -> None:
    trials = [pruned(0, 3), pruned(1, 3), pruned(2, 9), trial_view(3, 0.5)]
    assert pruned_text(trials) == "3 trials pruned: 2 after epoch 3, 1 after epoch 9"
    assert pruned_text(trials[3:]) == "0 trials pruned"
    many = [pruned(n, n + 1) for n in range(20)]
    assert pruned_text(many) == "20 trials pruned, after epochs 1 to 20"


def test_halved() -> None:
    events = cuts((4, 9), (4, 13), (5, 9))
    assert (
        halved_text(events) == "3 cuts of the rate in 2 trials: 2 after epoch 9, 1 after epoch 13"
    )
    assert halved_text([]) == "0 cuts of the rate in 0 trials"


def found(number: int, rule: str, reason: str = "") -> EventView:
    data = {"rule": rule, "reason": reason}
    return EventView(
        seq=1, kind=EventKind.FINDING, at=NOW, study_id=7, number=number, step=5, data=data
    )


def test_findings() -> None:
    events = [found(1, "saddle"), found(2, "over_fitting"), found(3, "over_fitting")]
    line = "findings in 3 trials: over fitting (2), saddle (1)"
    assert findings_text([*events, found(2, "over_fitting"), *cuts((1, 2))]) == [line]
    assert findings_text(cuts((1, 2))) == []


def test_the_newest_findings_stand_under_the_trials() -> None:
    console = Console(file=io.StringIO(), width=60, record=True)
    console.print(render(study_view(), [], NOW, [found(4, "saddle", "[b]a saddle" + "!" * 90)]))
    (line,) = [x for x in console.export_text().splitlines() if x.startswith("!")]
    assert line.startswith("! trial 4, step 5: [b]a saddle!")
    assert len(line) == 60


def test_schedule() -> None:
    assert schedule_text(best_view()) == "0.1 from the start, 0.05 after step 5"
    without_rate = best_view(params={"dropout": 0.5})
    assert schedule_text(without_rate) == "x1 from the start, x0.5 after step 5"


def test_summary() -> None:
    server = FakeServer()
    folk = best_view(number=1, value=0.5, origin=Origin.FOLK, metrics={"test_accuracy": 0.9})
    best = best_view(metrics={"test_accuracy": 0.9725})
    server.on("GET", "/studies/7", over(best=best, best_folk=folk))
    server.on("GET", "/studies/7/best", best)
    trials = [pruned(0, 3), trial_view(3, 0.25)]
    server.on("GET", "/studies/7/trials", {"items": [t.model_dump(mode="json") for t in trials]})
    events = [e.model_dump(mode="json") for e in cuts((3, 5))]
    server.on("GET", "/studies/7/events", {"items": events})
    text = summary(server.client().study(7))
    assert text == "\n".join(
        [
            "Study 'digits': finished, 1 waiting, 2 running, 3 complete, 1 pruned",
            "",
            "Best trial: 3 (sampled, complete)",
            "  val_loss 0.25 at step 9, test accuracy 97.25%",
            "  params    lr=0.1 batch_size=32",
            "  schedule  0.1 from the start, 0.05 after step 5",
            "",
            "1 trial pruned: 1 after epoch 3",
            "1 cut of the rate in 1 trial: 1 after epoch 5",
            "60 epochs trained, 20 saved (25%)",
            "",
            "Best rule of thumb: 1 (folk, complete)",
            "  val_loss 0.5 at step 9, test accuracy 90.00%",
            "  params    lr=0.1 batch_size=32",
            "  schedule  0.1 from the start, 0.05 after step 5",
            "The best trial's value is 50% of the best rule of thumb's.",
        ]
    )


def test_a_frame_shows_the_running_trials() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    running = [trial_view(5, last_value=0.75), trial_view(6, last_step=27)]
    assert all(t.state is TrialState.RUNNING for t in running)
    console.print(render(study_view(best=best_view()), running, NOW))
    stream = console.file
    assert isinstance(stream, io.StringIO)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("digits: running, 4/10 trials, 2 running, best val_loss 0.25")
    assert any(line.split()[:2] == ["5", "9/27"] and "0.75" in line for line in lines)
    assert any(line.split()[:2] == ["6", "27/27"] for line in lines)
