"""A study, its finalists, what follows it and its report: by a real server, worker and command."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e.worker_process import WorkerProcess
from tests.serving import ROOT, ServerProcess
from tuner.spec import StudySpec, check, parse_yaml

GUIDE = ROOT / "docs" / "guides" / "after.md"


def guided() -> StudySpec:
    """Return the guide's study, smaller."""
    block = re.search(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    document = parse_yaml(block.group(1))
    assert isinstance(document, dict)
    assert check(document).after is not None
    small = {
        "name": "digits",
        "budget": {"trials": 5, "steps": 4},
        "pruner": {"name": "none"},
        "repeats": {"finalists": 2, "seeds": 2},
        "after": {"ensemble": {"top": 3}},
        "run": {"task": "digits-mlp", "device": "cpu"},
    }
    return check(document | small)


def test_all_documents_of_the_guide_are_studies() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    found = [check(parse_yaml(block)) for block in blocks]
    assert [spec.again is not None for spec in found] == [False, True]


def test_a_study_is_finished_and_reported(server: ServerProcess, tmp_path: Path) -> None:
    document = guided().model_dump(mode="json", exclude_none=True)
    server.call("POST", "/studies", document)
    _work(server, tmp_path / "one")
    study = server.call("GET", "/studies/digits")
    assert study["state"] == "finished"
    assert [row["n"] for row in study["finalists"]] == [2, 2]
    assert study["best"]["number"] == study["finalists"][0]["number"]
    trial = server.call("GET", "/studies/digits-ensemble/trials/0")
    assert (trial["outcome"], [r["step"] for r in trial["reports"]]) == ("complete", [1, 2, 3])
    members = server.call("GET", "/studies/digits-ensemble")["spec"]["run"]["after"]["members"]
    first = server.call("GET", f"/studies/digits/trials/{members[0]['trial']}")
    # trained again, the best member has the value to the last bit
    assert trial["reports"][0]["metrics"]["best_member"] == first["value"]

    assert "3 networks together" in server.run("show", "digits-ensemble").stdout

    said = server.run("finish", "digits", "--data-doctor", "--neighbours").stderr
    assert "followed by digits-data-doctor" in said
    said = server.run("finish", "digits", "--again", "--finalists", "2", "--seeds", "2").stderr
    assert "(digits-again-1) runs the best again" in said
    _work(server, tmp_path / "two")
    drift = server.call("GET", "/studies/digits-again-1")["drift"]
    assert (drift["of"], drift["trial"]) == ("digits", study["best"]["number"])
    assert drift["text"] in server.run("show", "digits-again-1").stdout
    said = server.run("finish", "digits", "--wait").stdout
    assert "over 2 fresh seeds" in said
    assert "digits-data-doctor: " in said
    assert server.call("GET", "/studies/digits-neighbours")["state"] == "finished"
    artifacts = server.call("GET", "/studies/digits-data-doctor/trials/0/artifacts")["items"]
    assert [a["name"] for a in artifacts] == ["doubted_labels.csv"]

    page = tmp_path / "digits.html"
    server.run("report", "digits", "--output", str(page))
    html = page.read_text(encoding="utf-8")
    assert "3 networks together" in html
    assert "The best again" in html
    assert "training labels are doubted" in html
    assert "95 % interval" in html
    assert "does not compute it" not in html


def _work(server: ServerProcess, folder: Path) -> None:
    folder.mkdir()
    with WorkerProcess(folder, server.url, server.token, slots=1, until_idle=0.5) as worker:
        assert worker.wait() == 0, worker.log
