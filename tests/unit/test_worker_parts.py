"""The worker's small parts: pinning, programs, output, endings, environment, channel, problems."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from tuner.errors import (
    InvalidInput,
    StaleAttempt,
    StudyState,
    TooMany,
    TunerError,
    Unavailable,
)
from tuner.problems import raise_for_problem, retry_after
from tuner.worker.channel import ChannelClosed, ChildEnd, encode
from tuner.worker.config import WorkerConfig
from tuner.worker.endings import crashed, describe, over
from tuner.worker.gpus import resolve
from tuner.worker.messages import Done, Leave, Ready
from tuner.worker.output import RING, Output, log_path, prune_logs
from tuner.worker.process import child_environment
from tuner.worker.program import Program, read_program, refusal, refused_command


def config(**changes: Any) -> WorkerConfig:
    return WorkerConfig(url="http://server.test", **changes)


def test_named_gpus_are_taken_as_they_are() -> None:
    assert [gpu.ident for gpu in resolve(("2", "GPU-ab"))] == ["2", "GPU-ab"]
    assert resolve(("none",)) == ()


@pytest.mark.parametrize("asked", ["a", "-1", "0-1", "0;1", "cuda:0"])
def test_what_is_no_gpu_is_refused(asked: str) -> None:
    with pytest.raises(InvalidInput, match="is no GPU"):
        resolve((asked,))


@pytest.mark.parametrize(
    ("run", "program"),
    [
        ("external", None),
        ({}, None),
        ({"command": "x"}, None),
        (
            {"task": "digits-mlp", "device": "cpu", "progress_timeout": 9, "new": 1},
            Program(
                kind="task", name="digits-mlp", options={"device": "cpu"}, progress_timeout=9.0
            ),
        ),
        ({"entrypoint": "a.b:c"}, Program(kind="entrypoint", name="a.b:c")),
        (
            {"entrypoint": "a.b:c", "gpus": 2, "processes": None},
            Program(kind="entrypoint", name="a.b:c", gpus=2, processes=2),
        ),
        (
            {"entrypoint": "a.b:c", "gpus": 0.5},
            Program(kind="entrypoint", name="a.b:c", gpus=0.5),
        ),
        (
            {"entrypoint": "a.b:c", "memory": "1GiB"},
            Program(kind="entrypoint", name="a.b:c", memory=2**30),
        ),
        (
            {"entrypoint": "a.b:c", "memory": "of a newer server"},
            Program(kind="entrypoint", name="a.b:c"),
        ),
    ],
)
def test_programs_are_read(run: Any, program: Program | None) -> None:
    assert read_program(run) == program


@pytest.mark.parametrize(
    ("entrypoint", "allow", "allowed"),
    [
        ("pkg.train:main", (), False),
        ("pkg.train:main", ("pkg.train:main",), True),
        ("pkg.train:main", ("pkg.train:*",), True),
        ("pkg.train:main", ("pkg.*:*",), True),
        ("pkg.train:main", ("PKG.*:*",), False),  # case counts
        ("other:main", ("pkg.*:*", "oth*:main"), True),
    ],
)
def test_entrypoints_are_allowed_by_patterns(
    entrypoint: str, allow: tuple[str, ...], allowed: bool
) -> None:
    program = Program(kind="entrypoint", name=entrypoint)
    assert (refusal(program, config(allow=allow)) is None) is allowed


def test_an_unknown_task_is_refused_by_name() -> None:
    why = refusal(Program(kind="task", name="nope"), config())
    assert why is not None
    assert "nope" in why
    assert refusal(Program(kind="task", name="digits-mlp"), config()) is None


def test_a_command_is_read_as_the_document_says() -> None:
    run = {"command": ["p", "{lr}", ["-x", "{x}"]], "progress_timeout": 3.0, "newer": 1}
    program = read_program(run)
    assert program is not None
    assert (program.kind, program.warmth, program.progress_timeout) == ("command", "command", 3.0)
    assert program.name == "p {lr} [-x {x}]"
    assert read_program({"command": "p"}) is None


def test_variables_are_allowed_by_patterns() -> None:
    program = read_program({"command": ["p"], "env": {"WANDB_MODE": "x", "PATH": "/tmp"}})
    assert program is not None
    assert refusal(program, config(allow_env=("WANDB_*", "PATH"))) is None
    why = refusal(program, config(allow_env=("WANDB_*",)))
    assert why == "this worker does not let studies set PATH"


def test_a_command_line_is_checked_as_it_will_be_run() -> None:
    allowing = config(allow_commands=("python train.py --lr *",))
    assert refused_command(["python", "train.py", "--lr", "0.1"], allowing) is None
    why = refused_command(["python", "train.py", "--evil"], allowing)
    assert why == "this worker does not allow the command python train.py --evil"
    with pytest.raises(InvalidInput, match="cut into words"):
        config(allow_commands=("python 'train.py",))


def test_output_keeps_head_and_tail(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    output = Output(path, head=10)
    output.write(b"beginning-")
    output.write(b"m" * (3 * RING))
    output.write(b"-end")
    assert output.tail(4) == "-end"
    output.close()
    text = path.read_bytes()
    assert text.startswith(b"beginning-\n... ")
    assert text.endswith(b"m-end")
    assert len(text) < RING + 100


@pytest.mark.parametrize("sizes", [(5, 5), (10, 10), (3, 20), (0, 12)])
def test_little_output_is_whole(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    output = Output(tmp_path / "a.log", head=12)
    text = b""
    for size in sizes:
        part = bytes(range(65, 65 + size))
        output.write(part)
        text += part
    output.close()
    assert (tmp_path / "a.log").read_bytes() == text


def test_logs_have_safe_names_and_are_pruned(tmp_path: Path) -> None:
    assert log_path(tmp_path, "../a b/é", 1, 2).parent == tmp_path
    assert log_path(tmp_path, "..", 1, 2).name == "_-1-2.log"
    for number in range(5):
        (tmp_path / f"{number}.log").touch()
    prune_logs(tmp_path, 2)
    assert len(list(tmp_path.glob("*.log"))) == 2


def test_ends_are_described() -> None:
    assert "SIGSEGV" in describe(-signal.SIGSEGV)
    assert "out of memory" in describe(-signal.SIGKILL)
    assert "exit code 3" in describe(3)
    output = Output(None, head=0)
    assert crashed(-signal.SIGKILL, True, output).outcome == "oom"
    assert crashed(-signal.SIGKILL, False, output).outcome == "failed"
    assert crashed(-signal.SIGSEGV, True, output).outcome == "failed"
    unasked = over(Done(outcome="left"), asked=False, alive=True)
    assert unasked.outcome == "failed"
    assert over(Done(outcome="left"), asked=True, alive=True).outcome == "left"


def test_a_child_gets_no_token_and_keeps_the_users_threads() -> None:
    secrets = {"TUNER_TOKEN": "x", "TUNER_ADMIN_TOKEN": "y", "TUNER_WORKER_TOKEN": "z"}
    base = {**secrets, "MKL_NUM_THREADS": "7", "HOME": "/h"}
    found = child_environment(base, mark="m", threads=3, devices="1")
    assert not secrets.keys() & found.keys()
    assert found["OMP_NUM_THREADS"] == "3"
    assert found["MKL_NUM_THREADS"] == "7"
    assert (
        child_environment({"OMP_NUM_THREADS": ""}, mark="m", threads=3, devices=None)[
            "OMP_NUM_THREADS"
        ]
        == "3"
    )
    assert found["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in child_environment(base, mark="m", threads=1, devices=None)


def test_a_message_may_come_in_pieces() -> None:
    parent, child = socket.socketpair()
    with parent, child:
        end = ChildEnd(child)
        data = encode(Leave()) * 2
        parent.sendall(data[:3])
        assert end.receive(0.0) is None
        parent.sendall(data[3:-1])
        assert end.receive(0.0) == Leave()
        assert end.receive(0.0) is None
        parent.sendall(data[-1:])
        assert end.receive(None) == Leave()
        parent.sendall(b"\xff\xff\xff\xff")
        with pytest.raises(ChannelClosed, match="bytes"):
            end.receive(0.0)
        parent.close()
        with pytest.raises(ChannelClosed):
            end.send(Ready())


@pytest.mark.parametrize(
    "wrong",
    [
        {"slots": 0},
        {"wait": 61.0},
        {"report_timeout": 0.0},
        {"trials_per_child": 0},
        {"max_quick_failures": -1},
    ],
)
def test_a_config_out_of_range_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        WorkerConfig(url="http://h", **wrong)


def test_the_token_is_not_shown() -> None:
    assert "secret" not in repr(WorkerConfig(url="http://h", token="secret-token"))


def problem(slug: str, status: int, **more: Any) -> httpx.Response:
    body = {"type": f"/problems/{slug}", "title": "t", "status": status, "detail": "why", **more}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("response", "kind", "detail"),
    [
        (problem("stale-attempt", 409), StaleAttempt, "why"),
        (problem("study-state", 409), StudyState, "why"),
        (problem("of-a-newer-server", 422), InvalidInput, "why"),
        (problem("of-a-newer-server", 409), TunerError, "why"),
        (httpx.Response(502, text="<b>bad\n gateway</b>"), Unavailable, "502 Bad Gateway: <b>bad"),
        (httpx.Response(429), TooMany, "429"),
        (httpx.Response(500, json=[1]), TunerError, "500"),
    ],
)
def test_problems_become_errors(
    response: httpx.Response, kind: type[TunerError], detail: str
) -> None:
    with pytest.raises(kind) as caught:
        raise_for_problem(response)
    assert type(caught.value) is kind
    assert detail in caught.value.detail


def test_faults_extras_and_retry_after_are_kept() -> None:
    faults = [{"where": "space.lr", "message": "low > high"}]
    with pytest.raises(InvalidInput) as invalid:
        raise_for_problem(problem("invalid-input", 422, faults=faults, extra={"study_id": 3}))
    assert invalid.value.faults[0].where == "space.lr"
    assert invalid.value.extra == {"study_id": 3}
    response = problem("too-many", 429)
    response.headers["Retry-After"] = "7"
    with pytest.raises(TooMany) as busy:
        raise_for_problem(response)
    assert retry_after(busy.value) == 7.0
    raise_for_problem(httpx.Response(204))
