"""Programs of the user's own as trials: told, read, stopped and asked to leave."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bench import Bench, alive
from tests.e2e.fake_server import FakeServer, FakeTrial
from tests.e2e.worker_process import wait_until
from tests.serving import PROGRAM, completed, environment
from tuner import wire
from tuner.decision import Action, Outcome

ALLOW = ["python train.py *", "bash train.sh"]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
def bench(tmp_path: Path, server: FakeServer) -> Bench:
    return Bench(tmp_path, server)


def script(bench: Bench, text: str, name: str = "train.py") -> None:
    """Write a program into the worker's folder."""
    (bench.folder / name).write_text(text)


def run(
    bench: Bench, command: list[Any], *, config: dict[str, Any] | None = None, **about: Any
) -> FakeTrial:
    """Run one trial of a command to its end."""
    trial = add(bench, command, **about)
    bench.run(**{"allow_commands": ALLOW, **(config or {})})
    return trial


def add(bench: Bench, command: list[Any], **about: Any) -> FakeTrial:
    """Queue a trial of a command; keys of `run` are among `about`."""
    given = {key: about.pop(key) for key in ("params", "steps") if key in about}
    return bench.server.add({"command": command, **about}, **given)


def one(trial: FakeTrial) -> wire.FinishTrial:
    (finish,) = trial.finishes
    return finish


def stop_at(step: int) -> Any:
    def decide(item: wire.ReportItem) -> wire.DecisionView:
        if item.step < step:
            return wire.DecisionView()
        return wire.DecisionView(action=Action.STOP, reason="rung", outcome=Outcome.PRUNED)

    return decide


def test_a_program_gets_its_values_and_reports_through_the_handle(bench: Bench) -> None:
    script(
        bench,
        """
import json, os, sys
import tuner
trial = tuner.current_trial()
json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd()}, open("told", "w"))
for step in range(1, trial.steps + 1):
    decision = trial.report(step, trial.params["lr"] * step, metrics={"acc": 0.5})
    trial.log(f"step {step}: {decision.action}")
""",
    )
    command = ["python", "train.py", "--lr={lr}", "--opt", "{opt}", ["--m", "{m}"], "{trial.seed}"]
    params = {"lr": 0.5, "opt": "a b;$(x)"}
    config = {"allow_env": ["MODE"], "allow_commands": ALLOW}
    trial = run(bench, command, params=params, steps=2, env={"MODE": "fast"}, config=config)
    told = json.loads((bench.folder / "told").read_text())
    assert told["argv"] == ["--lr=0.5", "--opt", "a b;$(x)", "7"]
    assert told["cwd"] == str(bench.folder)
    env = told["env"]
    assert json.loads(env["TUNER_PARAMS"]) == params
    assert (env["TUNER_PARAM_LR"], env["TUNER_PARAM_OPT"]) == ("0.5", "a b;$(x)")
    assert (env["TUNER_SEED"], env["TUNER_STEPS"], env["TUNER_TRIAL"]) == ("7", "2", "0")
    assert (env["TUNER_METRIC"], env["TUNER_LR_FACTOR"], env["MODE"]) == ("val_loss", "1.0", "fast")
    assert not {"TUNER_RESUME", "TUNER_TOKEN", "TUNER_PARAM_M"} & env.keys()
    assert [(r.step, r.value, r.metrics) for r in trial.reports] == [
        (1, 0.5, {"acc": 0.5}),
        (2, 1.0, {"acc": 0.5}),
    ]
    assert (one(trial).outcome, one(trial).value) == ("complete", None)
    (log,) = (bench.folder / "logs").glob("*.log")
    assert log.read_text() == "step 1: continue\nstep 2: continue\n"


def test_a_shell_script_reports_and_is_told_to_stop(bench: Bench) -> None:
    def halve_then_stop(item: wire.ReportItem) -> wire.DecisionView:
        if item.step == 1:
            return wire.DecisionView(lr_factor=0.5, reason="it's flat")
        return stop_at(2)(item)  # type: ignore[no-any-return]

    bench.server.decide = halve_then_stop
    script(
        bench,
        """
for step in 1 2 3; do
    told=$(tuner report --step $step --value 0.$step --metric acc=0.9)
    code=$?
    echo "$code" >> codes
    eval "$told"
    echo "$action $lr_factor $reason" >> said
    cat "$TUNER_DECISION_FILE" >> files
    [ $code = 0 ] || break
done
exit 5
""",
        "train.sh",
    )
    trial = run(bench, ["bash", "train.sh"], params={"lr": 0.1})
    assert [(r.step, r.value, r.lr_factor) for r in trial.reports] == [(1, 0.1, 1), (2, 0.2, 0.5)]
    assert trial.reports[0].metrics == {"acc": 0.9}
    assert bench.words("codes") == ["0", "10"]
    assert (bench.folder / "said").read_text() == "continue 0.5 it's flat\nstop 1.0 rung\n"
    files = [json.loads(line) for line in (bench.folder / "files").read_text().splitlines()]
    assert [(f["action"], f["lr_factor"]) for f in files] == [("continue", 0.5), ("stop", 1.0)]
    assert one(trial).outcome == "complete"  # the stop's outcome stands, whatever the exit code


LOOP = """
import sys, time
for epoch in range(1, 100000):
    print(f"Epoch {epoch}/100 - 3s - val_loss: {1 / epoch:.4f} - acc: 0.5", flush=True)
    time.sleep(0.01)
"""
LINE = "epoch {step}/* val_loss: {value} * acc: {acc}"


def test_a_script_need_not_change_at_all(bench: Bench) -> None:
    script(bench, LOOP.replace("100000", "4"))
    trial = run(bench, ["python", "train.py"], report={"line": LINE})
    assert [(r.step, r.value, r.metrics) for r in trial.reports] == [
        (1, 1.0, {"acc": 0.5}),
        (2, 0.5, {"acc": 0.5}),
        (3, 0.3333, {"acc": 0.5}),
    ]
    assert one(trial).outcome == "complete"


@pytest.mark.parametrize("ignores", [False, True], ids=["ends", "ignores SIGTERM"])
def test_a_stop_ends_a_script_that_does_not_look(bench: Bench, ignores: bool) -> None:
    bench.server.decide = stop_at(3)
    mute = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if ignores else ""
    script(bench, mute + LOOP)
    trial = run(bench, ["python", "train.py"], report={"pattern": LINES}, stop_grace=0.2)
    assert trial.reports[-1].step == 3
    assert one(trial).outcome == "complete"


LINES = r"Epoch (?P<step>\d+)/.*val_loss: (?P<val_loss>\S+)"


def test_a_stop_ends_a_script_that_reports_and_does_not_look(bench: Bench) -> None:
    bench.server.decide = stop_at(1)
    script(
        bench,
        "import time, tuner\ntuner.current_trial().report(1, 1.0)\n"
        "while True:\n    time.sleep(0.01)\n",
    )
    trial = run(bench, ["python", "train.py"], stop_grace=0.2)
    assert len(trial.reports) == 1
    assert one(trial).outcome == "complete"


def test_signals_tell_of_decisions(bench: Bench) -> None:
    def decide(item: wire.ReportItem) -> wire.DecisionView:
        action = Action.CONTINUE if item.step < 3 else Action.STOP
        return wire.DecisionView(action=action, lr_factor=0.5)

    bench.server.decide = decide
    script(
        bench,
        """
import json, os, signal, sys, time
seen = []
def told(number, frame):
    decision = json.load(open(os.environ["TUNER_DECISION_FILE"]))
    open("told", "a").write(f"{signal.Signals(number).name} {decision['lr_factor']}\\n")
    seen.append(number)
signal.signal(signal.SIGUSR1, told)
signal.signal(signal.SIGINT, told)
print("step 1 loss 1")
while signal.SIGUSR1 not in seen:
    time.sleep(0.01)
step = 1
while signal.SIGINT not in seen:
    step += 1
    print(f"step {step} loss 1")
    time.sleep(0.05)
""",
    )
    trial = run(
        bench,
        ["python", "train.py"],
        report={"line": "step {step} loss {value}"},
        on_rate="SIGUSR1",
        on_stop="SIGINT",
    )
    assert (bench.folder / "told").read_text().splitlines() == ["SIGUSR1 0.5", "SIGINT 0.5"]
    assert [r.lr_factor for r in trial.reports][:2] == [1.0, 0.5]
    assert one(trial).outcome == "complete"


ENDS = {
    "import sys; print('so sad'); sys.exit(3)": ("failed", "exit code 3", True),
    "print('nothing')": ("failed", "but it reported nothing: there is no value", False),
    "import os; os.kill(os.getpid(), 11)": ("failed", "killed by SIGSEGV", True),
    "raise ValueError('no')": ("failed", "ValueError: no", True),
    "raise MemoryError('all')": ("oom", "MemoryError: all", True),
    "import tuner; tuner.current_trial().report(1, 1.0); 1 / 0": ("failed", "by zero", True),
}


def test_ends_are_said_honestly(bench: Bench) -> None:
    script(bench, "import sys\nexec(sys.argv[1])\n")
    trials = [add(bench, ["python", "train.py", text]) for text in ENDS]
    bench.run(allow_commands=ALLOW)
    for (text, (outcome, said, retry)), trial in zip(ENDS.items(), trials, strict=True):
        finish = one(trial)
        assert (finish.outcome, finish.retry) == (outcome, retry), text
        assert said in finish.error
        assert finish.error.startswith("its last output:\n") or "kill" in text


CAN_NOT_RUN: list[tuple[list[Any], dict[str, Any], str]] = [
    (["python", "other.py"], {}, "does not allow the command python other.py"),
    (["bash", "train.sh", "x"], {}, "does not allow the command bash train.sh x"),
    (["python", "train.py"], {"env": {"LD_PRELOAD": "x"}}, "set LD_PRELOAD"),
    (["absent", "x"], {}, "there is no program absent"),
    (["python", "train.py", "{m}"], {}, "m has no value in this trial"),
    (["python", "train.py"], {"report": {"pattern": "("}}, "no regular expression"),
]


def test_what_can_not_run_fails_without_retry(bench: Bench) -> None:
    script(bench, "open('ran', 'w')")
    trials = [add(bench, command, **about) for command, about, _ in CAN_NOT_RUN]
    bench.run(allow_commands=[*ALLOW, "absent *"])
    for (_, _, said), trial in zip(CAN_NOT_RUN, trials, strict=True):
        assert (one(trial).outcome, one(trial).retry) == ("failed", False)
        assert said in one(trial).error
    assert not (bench.folder / "ran").exists()


def test_nothing_runs_unless_it_is_allowed(bench: Bench) -> None:
    script(bench, "open('ran', 'w')")
    finish = one(run(bench, ["python", "train.py"], config={"allow_commands": []}))
    assert "does not allow the command" in finish.error
    assert not (bench.folder / "ran").exists()


def test_a_pattern_can_not_hang_a_worker(bench: Bench) -> None:
    script(bench, "print('1' * 3000 + 'x', flush=True)\nimport time\ntime.sleep(1000)\n")
    finish = one(run(bench, ["python", "train.py"], report={"pattern": "(?P<value>(1+)+)$"}))
    assert (finish.outcome, finish.retry) == ("failed", False)
    assert "the pattern took more than 1 s" in finish.error


SAVING = """
trap 'echo "$step" > state; tuner checkpoint state --step $step; exit 0' TERM
step=${TUNER_RESUME_STEP:-0}
if [ -n "$TUNER_RESUME" ]; then cp "$TUNER_RESUME" resumed; fi
while [ $step -lt 3 ]; do
    step=$((step + 1))
    tuner report --step $step --value 1 || exit 0
    touch began
    if [ $TUNER_ATTEMPT = 1 ]; then while true; do sleep 0.05; done; fi
done
"""


def test_a_shell_script_saves_and_resumes(bench: Bench) -> None:
    script(bench, SAVING, "train.sh")
    trial = add(bench, ["bash", "train.sh"], steps=3)
    with bench.worker(allow_commands=ALLOW) as worker:
        wait_until((bench.folder / "began").exists, "the script is in its first step")
        worker.terminate()
        assert worker.wait() == 0
    assert [step for step, _ in trial.checkpoints] == [1]
    assert len(trial.releases) == 1
    assert not trial.finishes
    bench.run(allow_commands=ALLOW)
    assert (bench.folder / "resumed").read_text() == "1\n"
    assert [r.step for r in trial.reports] == [1, 2, 3]
    assert one(trial).outcome == "complete"


def test_a_wrapper_that_dies_at_once_leaves_its_program_time(bench: Bench) -> None:
    script(bench, "python train.py\necho after > after\n", "train.sh")
    script(
        bench,
        """
import pathlib, time, tuner
trial = tuner.current_trial()
trial.report(1, 1.0)
pathlib.Path("began").touch()
import signal
signal.signal(signal.SIGTERM, lambda *_: None)
while not trial.should_stop:
    time.sleep(0.01)
time.sleep(0.3)
pathlib.Path("state").write_text("s")
trial.checkpoint(1, pathlib.Path("state"))
""",
    )
    trial = add(bench, ["bash", "train.sh"])
    with bench.worker(allow_commands=ALLOW) as worker:
        wait_until((bench.folder / "began").exists, "the script has begun")
        worker.terminate()
        assert worker.wait() == 0
    assert [body for _, body in trial.checkpoints] == [b"s"]
    assert len(trial.releases) == 1


def test_a_program_that_ignores_the_leave_is_given_back(bench: Bench) -> None:
    script(
        bench,
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path('began').touch()\nwhile True:\n    time.sleep(1)\n",
    )
    trial = add(bench, ["python", "train.py"])
    with bench.worker(allow_commands=ALLOW, stop_grace=0.5, upload_grace=0.1) as worker:
        wait_until((bench.folder / "began").exists, "it has begun")
        worker.terminate()
        assert worker.wait() == 0
    assert (len(trial.releases), trial.finishes) == (1, [])


def test_nothing_is_left_of_a_program(bench: Bench) -> None:
    script(bench, "sleep 1000 & echo $! > pid; tuner report --step 1 --value 1\n", "train.sh")
    trial = run(bench, ["bash", "train.sh"])
    assert one(trial).outcome == "complete"
    assert not alive(int(*bench.words("pid")))


def test_a_program_ends_with_a_killed_worker(bench: Bench) -> None:
    script(bench, "echo $$ > pid; touch began; while true; do sleep 0.1; done\n", "train.sh")
    add(bench, ["bash", "train.sh"])
    with bench.worker(allow_commands=ALLOW) as worker:
        wait_until((bench.folder / "began").exists, "it has begun")
        worker.process.send_signal(signal.SIGKILL)
        worker.wait()
    (pid,) = bench.words("pid")
    wait_until(lambda: not alive(int(pid)), "the program is gone")


def test_trials_of_commands_follow_each_other_in_one_child(bench: Bench) -> None:
    script(
        bench,
        "import os, tuner\ntuner.current_trial().report(1, 1.0)\n"
        "open('parents', 'a').write(f'{os.getppid()} ')\n",
    )
    trials = [add(bench, ["python", "train.py"]) for _ in range(2)]
    bench.run(allow_commands=ALLOW)
    assert [one(t).outcome for t in trials] == ["complete", "complete"]
    assert len(set(bench.words("parents"))) == 1


def test_what_an_entrypoint_starts_reaches_its_trial(bench: Bench) -> None:
    (bench.folder / "inner.py").write_text(
        "import tuner\ntrial = tuner.current_trial()\nassert trial.report(2, 0.5).lr_factor == 1\n"
    )
    trial, finish = bench.one(
        """
import subprocess, sys
import tuner
def main(trial):
    assert tuner.current_trial() is trial
    trial.report(1, 1.0)
    subprocess.run([sys.executable, "inner.py"], check=True)
"""
    )
    assert [(r.step, r.value) for r in trial.reports] == [(1, 1.0), (2, 0.5)]
    assert finish.outcome == "complete"


@pytest.mark.parametrize(
    "arguments",
    [("report", "--step", "1", "--value", "1"), ("checkpoint", "x", "--step", "1"), ("keep", "x")],
)
def test_outside_of_a_trial_the_commands_say_so(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = completed([*PROGRAM, *arguments], tmp_path, environment(tmp_path))
    assert done.returncode == 1
    assert "no trial is under way here" in done.stderr
