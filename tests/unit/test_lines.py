"""Reports in what a program prints."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.test_worker_handle import FakeParent, decided, handle_of
from tuner.errors import InvalidInput
from tuner.lines import LONGEST_LINE, Found, Reader, Splitter, from_pattern, from_template
from tuner.spec.command import Lines
from tuner.wire import DecisionView
from tuner.worker.messages import Decided, Leave, ResumeFrom
from tuner.worker.scribe import PatternTooSlow, Scribe


@pytest.mark.parametrize(
    ("template", "line", "found"),
    [
        ("epoch {step} loss {value}", "epoch 3 loss 0.5", (3, 0.5)),
        ("epoch {step} loss {value}", "[12:00] Epoch   3\tloss 5e-1 (best)", (3, 0.5)),  # free ends
        ("epoch {step} loss {value}", "epoch 3", None),
        ("epoch {step} loss {value}", "epoch three loss 0.5", None),
        ("epoch {step} loss {value}", "epoch 1.5 loss 0.5", None),  # no whole step
        ("loss {value}", "val_loss 0.4 loss 0.5", (None, 0.5)),  # words are whole
        ("loss {value}", "loss -1.5E+2", (None, -150.0)),
        ("loss {value}", "loss .5", (None, 0.5)),
        ("loss {value}", "loss 5.", (None, 5.0)),
        ("loss={val_loss}", "loss=2", (None, 2.0)),  # the objective by its name
        ("{step}/* loss: {value}", "27/100 [====] 3s - loss: 0.25", (27, 0.25)),  # any text
        ("a * b * c {value} *", "a x b y c 1 z", (None, 1.0)),
        ("b * a {value}", "a 1 b 2", None),  # in order
        ("{{loss}} {value}", "{loss} 1", (None, 1.0)),
        ("acc (%) {value}%", "acc (%) 93.1%", (None, 93.1)),  # no regular expression
        ("loss {value}", "\x1b[32mloss\x1b[0m 0.5\x08", (None, 0.5)),  # colours
    ],
)
def test_a_template_reads_a_line(
    template: str, line: str, found: tuple[int | None, float] | None
) -> None:
    read = from_template(template, "val_loss").read(line)
    assert (None if read is None else (read.step, read.value)) == found


@pytest.mark.parametrize(
    ("text", "value"), [("nan", math.nan), ("-inf", -math.inf), ("Infinity", math.inf)]
)
def test_a_value_may_have_left_the_numbers(text: str, value: float) -> None:
    found = from_template("loss {value}", "val_loss").read(f"loss {text}")
    assert found is not None
    assert found.value == pytest.approx(value, nan_ok=True)


def test_other_fields_are_metrics() -> None:
    reader = from_template("{step}: {value} acc {val/acc} lr {lr}", "loss")
    found = reader.read("3: 0.5 acc 0.9 lr 1e-3")
    assert found == Found(step=3, value=0.5, metrics={"val/acc": 0.9, "lr": 0.001})


def test_many_fields_in_a_row_take_no_time() -> None:
    names = [f"{{m{i}}}" for i in range(30)]
    for template in ("".join([*names, "{value}!"]), "1".join([*names, "{value}!"])):
        assert from_template(template, "loss").read("1" * LONGEST_LINE) is None


def test_a_pattern_is_searched_for() -> None:
    reader = from_pattern(r"epoch (?P<step>\d+)(?: acc=(?P<acc>\S+))? .*loss=(?P<value>\S+)", "l")
    assert reader.read("x epoch 3 acc=0.5 .. loss=0.25") == Found(
        step=3, value=0.25, metrics={"acc": 0.5}
    )
    assert reader.read("epoch 3 loss=0.25") == Found(step=3, value=0.25)
    assert reader.read("epoch 3 loss=much") is None


@pytest.mark.parametrize(
    ("make", "text", "said"),
    [
        (from_template, "epoch {step}", "objective is missing"),
        (from_template, "{value} {value}", "'value' stands twice"),
        (from_template, "{value} {val_loss}", "'value' stands twice"),  # the same by two names
        (from_template, "{value} {", "a single {"),
        (from_template, "{value:.3f}", "is no field"),
        (from_template, "{value} {}", "is no field"),
        (from_pattern, r"(\d+)", "objective is missing"),
        (from_pattern, "(?P<value>", "no regular expression"),
        (from_pattern, "(" * 500 + ")" * 500, "no regular expression|objective is missing"),
        (from_pattern, "(?P<value>a)(?P<value>b)", "no regular expression"),
    ],
)
def test_a_wrong_one_is_refused(make: Callable[[str, str], Reader], text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        make(text, "val_loss")


def test_a_long_line_is_looked_at_from_its_beginning() -> None:
    reader = from_template("loss {value}", "l")
    assert reader.read("loss 1" + " " * 10**6) is not None
    assert reader.read(" " * LONGEST_LINE + "loss 1") is None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_cut_as_they_come(size: int) -> None:
    data = b"one\ntwo\r\nthree\rfour\n\n" + "fünf".encode() + b"\nlast"
    splitter = Splitter()
    parts = [data[i : i + size] for i in range(0, len(data), size)]
    found = [line for part in parts for line in splitter.feed(part)]
    assert found == ["one", "two", "three", "four", "fünf"]
    assert list(splitter.end()) == ["last"]
    assert list(splitter.end()) == []


def test_a_line_without_end_takes_no_memory() -> None:
    splitter = Splitter()
    for _ in range(100):
        assert list(splitter.feed(b"x" * 100_000)) == []
    assert len(splitter._rest) <= 4 * LONGEST_LINE
    (line,) = splitter.feed(b"\n")
    assert line == "x" * LONGEST_LINE


def scribe_of(parent: FakeParent, lines: Lines, resumed: int | None = None) -> Scribe:
    resume = None if resumed is None else ResumeFrom(step=resumed, path="/x")
    return Scribe(handle_of(parent, Path(), resume=resume), lines, "val_loss")


def reported(parent: FakeParent) -> list[tuple[int, float | None]]:
    return [(r.step, r.value) for r in parent.reports]


def test_what_is_printed_is_reported_once_a_step() -> None:
    parent = FakeParent(decided)
    scribe = scribe_of(parent, Lines(line="epoch {step} loss {value}"))
    scribe.feed(b"epoch 1 loss 0.5\nepoch 1 loss 0.4\nnothing\nepoch 3 lo")
    scribe.feed(b"ss 0.3\nepoch 2 loss 0.2\nepoch 4 loss nan")
    assert reported(parent) == [(1, 0.5), (3, 0.3)]
    scribe.end()
    assert reported(parent)[2:] == [(4, None)]


def test_steps_may_be_counted_from_0() -> None:
    parent = FakeParent(decided)
    scribe = scribe_of(parent, Lines(line="{step}: {value}", first_step=0))
    scribe.feed(b"0: 3\n1: 2\n")
    assert reported(parent) == [(1, 3.0), (2, 2.0)]


def test_without_a_step_lines_are_counted() -> None:
    parent = FakeParent(decided)
    scribe = scribe_of(parent, Lines(line="loss {value}"), resumed=4)
    scribe.feed(b"loss 2\nloss 1\n")
    assert reported(parent) == [(5, 2.0), (6, 1.0)]


def test_a_refused_report_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    parent = FakeParent(lambda r: [Decided(seq=r.seq, problem="report-mismatch", detail="other")])
    scribe = scribe_of(parent, Lines(line="{step}: {value}"))
    scribe.feed(b"1: 1\n2: 2\n")
    assert "step 1 was not reported: other" in capfd.readouterr().out
    assert len(parent.reports) == 2


def test_reports_end_where_the_trial_leaves() -> None:
    parent = FakeParent(decided)
    scribe = scribe_of(parent, Lines(line="{step}: {value}"))
    parent.inbox = deque([Leave()])
    scribe.feed(b"1: 1\n2: 2\n3: 3\n")
    assert reported(parent) == [(1, 1.0)]


def test_a_pattern_whose_time_explodes_is_interrupted() -> None:
    parent = FakeParent(lambda r: [Decided(seq=r.seq, decision=DecisionView())])
    scribe = scribe_of(parent, Lines(pattern="(?P<value>(1+)+)$"))
    scribe.feed(b"111\n")
    with pytest.raises(PatternTooSlow, match="more than 1 s"):
        scribe.feed(b"1" * 4000 + b"x\n")
    scribe.feed(b"11\n")
    assert reported(parent) == [(1, 111.0), (2, 11.0)]
