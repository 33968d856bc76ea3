"""A server takes a worker token from its environment, and a worker needs no other."""

from __future__ import annotations

from pathlib import Path

from tests.serving import PROGRAM, TOKEN, ServerProcess, completed, environment

SECRET = "a-workers-own-secret-0123456789-abcdef"
CODE = "def main(trial):\n    trial.report(1, 0.5)\n"
STUDY = {
    "name": "study",
    "objective": {"metric": "loss"},
    "space": {"lr": {"min": 0.1, "max": 0.2}},
    "budget": {"trials": 1, "steps": 1},
    "run": {"entrypoint": "code_main:main"},
}


def test_a_worker_works_with_it_alone(tmp_path: Path) -> None:
    home, work = tmp_path / "server", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / "code_main.py").write_text(CODE)
    variables = {"TUNER_WORKER_TOKEN": SECRET, "TUNER_WORKER_PROJECT": "vision"}
    with ServerProcess(home, variables=variables) as server:
        server.call("POST", "/studies", {**STUDY, "queue": {"project": "vision"}})
        env = environment(work, TUNER_URL=server.url, TUNER_TOKEN=SECRET, PYTHONPATH=str(work))
        command = server.command("worker", "--allow", "code_main:*", "--until-idle", "1")
        ran = completed(command, work, env)
        assert ran.returncode == 0, ran.stderr
        assert server.call("GET", "/studies/study")["state"] == "finished"
        refused = completed(server.command("ls"), work, env)
        assert refused.returncode == 4
        assert "a worker token may not do this" in refused.stderr
        assert "worker token: as in TUNER_WORKER_TOKEN, for project vision" in server.log
        assert SECRET not in server.log


def test_a_weak_one_keeps_the_server_from_starting(tmp_path: Path) -> None:
    env = environment(tmp_path, TUNER_ADMIN_TOKEN=TOKEN, TUNER_WORKER_TOKEN=TOKEN)
    ran = completed([*PROGRAM, "serve", "--port", "0"], tmp_path, env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "error: TUNER_WORKER_TOKEN is the admin token: choose another one\n"
