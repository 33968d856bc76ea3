"""The submit page in a real browser: checked as one types, submitted, watched, cloned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess, completed, environment
from tuner import Client

pytestmark = pytest.mark.browser
STRANGE = "<img src=x onerror=alert(1)> \u05d0\u05d1\u05d2"
STUDY: dict[str, Any] = {
    "name": STRANGE,
    "objective": {"metric": "loss", "mode": "min"},
    "space": {"lr": {"min": 0.0, "max": 1.0}, "width": {"min": 1, "max": 9}},
    "policies": [],
    "pruner": {"name": "none"},
    "budget": {"trials": 6, "steps": 6},
    "run": "external",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("submit")) as server:
        yield server


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    with opened() as page:
        yield page


@pytest.fixture
def page(browser_page: Page, server: ServerProcess) -> Iterator[Page]:
    complaints: list[str] = []
    browser_page.on("pageerror", lambda error: complaints.append(str(error)))
    browser_page.goto("about:blank")
    browser_page.context.clear_cookies()
    yield browser_page
    assert complaints == []


def budget(page: Page) -> Locator:
    return page.get_by_label("Budget", exact=True)


def yaml(page: Page) -> Any:
    return page.get_by_role("textbox", name="YAML")


def test_form_and_yaml_are_one_document_that_is_checked(server: ServerProcess, page: Page) -> None:
    log_in(page, server, "?page=submit")
    what = page.get_by_label("What it would run")
    expect(what).to_contain_text("30 trials")
    budget(page).get_by_label("trials", exact=True).fill("x")
    expect(budget(page).get_by_role("alert")).to_have_text("should be a whole number")
    expect(page.get_by_text("line 3")).to_be_visible()
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_disabled()
    yaml(page).fill(
        "# mine\nobjective: {metric: val_loss}\nrun: {task: digits-mlp}\n"
        "budget: {trials: 7, steps: 9}\n"
    )
    expect(budget(page).get_by_label("trials", exact=True)).to_have_value("7")
    expect(what).to_contain_text("asha: rungs at 1, 3, 9")
    budget(page).get_by_label("steps", exact=True).fill("27")
    expect(yaml(page)).to_have_value(
        "objective: {metric: val_loss}\nrun: {task: digits-mlp}\nbudget: {trials: 7, steps: 27}\n"
    )
    page.get_by_role("button", name="Bring them back").click()
    expect(yaml(page)).to_have_value(page.evaluate("sessionStorage['tuner.draft']"))
    expect(budget(page).get_by_label("steps", exact=True)).to_have_value("9")
    yaml(page).fill("objective: [")
    expect(page.get_by_text("The form waits until the YAML can be read")).to_be_visible()
    expect(budget(page).get_by_label("trials", exact=True)).to_be_disabled()


def test_a_study_is_submitted_and_watched(
    server: ServerProcess, page: Page, tmp_path: Path
) -> None:
    """Real workers train what the form submitted; what is decided appears on the open page."""
    log_in(page, server, "?page=submit")
    page.get_by_label("Start from an example").select_option(label="Built-in: digits-mlp")
    yaml(page).fill(
        "objective: {metric: val_loss}\nrun: {task: digits-mlp, device: cpu}\n"
        "pruner: {name: asha, min: 1, eta: 3}\n"
        "policies: [{name: halve_on_plateau, patience: 0}]\nbudget: {trials: 1}\n"
    )
    page.get_by_label("name", exact=True).first.fill("by-form")
    budget(page).get_by_label("trials", exact=True).fill("24")
    budget(page).get_by_label("steps", exact=True).fill("9")
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("heading", name="by-form")).to_be_visible()
    page.evaluate("window.neverLeft = true")
    env = environment(tmp_path, TUNER_URL=server.url, TUNER_TOKEN=TOKEN)
    ran = completed(server.command("worker", "--slots", "2", "--until-idle", "1"), tmp_path, env)
    assert ran.returncode == 0, ran.stderr
    expect(page.get_by_text("finished").first).to_be_visible()
    which = page.get_by_label("Which decisions")
    decisions = page.get_by_label("Decisions", exact=True)
    for kind, said in (("prunings", r"rank \d+ of \d+"), ("rates", r"rate halved at step \d+")):
        which.select_option(label=kind)
        expect(decisions).to_contain_text(re.compile(said))
    expect(page.get_by_text("a new best of the trial came after")).to_be_visible()
    assert page.evaluate("window.neverLeft")
    found = server.call("GET", "/studies/by-form")
    assert (found["state"], found["spec"]["budget"]["steps"]) == ("finished", 9)
    page.get_by_role("link", name=f"trial {halved(server)}", exact=True).first.click()
    expect(page.get_by_label("Events", exact=True)).to_contain_text(re.compile("steps? after: "))


def halved(server: ServerProcess) -> int:
    """Return a trial whose rate was halved before its last step, of those shown last."""
    events = server.call("GET", "/studies/by-form/decisions?limit=60")["items"]
    return next(int(e["number"]) for e in events if e["kind"] == "halved" and e["step"] < 9)


def test_a_study_and_a_trial_are_cloned(server: ServerProcess, page: Page, tmp_path: Path) -> None:
    with Client(server.url, TOKEN) as client:
        study = client.submit(STUDY)
        with client.ask(study.id) as trial:
            trial.report(1, 0.5)
            trial.report(2, 0.25)
            weights = tmp_path / "weights"
            weights.write_bytes(b"weights")
            trial.checkpoint(2, weights)
        params = study.trial(trial.number).params
    log_in(page, server, f"?study={study.id}")
    page.get_by_role("link", name="Clone", exact=True).click()
    expect(yaml(page)).to_have_value(
        f"name: {STRANGE}-2\n"
        "objective: {metric: loss, mode: min, value: best}\n"
        "space:\n  lr: {min: 0.0, max: 1.0}\n  width: {min: 1, max: 9}\n"
        "sampler: {name: tpe, seed: 0}\n"
        "pruner: {name: none}\n"
        "policies: []\n"
        "budget: {trials: 6, steps: 6, max_failures: 5}\n"
        "run: external\n"
        "retry: {max: 3}\n"
        "queue: {project: default, priority: 0}\n"
    )
    page.get_by_role("button", name="Submit paused").click()
    expect(page.get_by_role("heading", name=f"{STRANGE}-2")).to_be_visible()
    assert server.call("GET", f"/studies/{study.id + 1}")["state"] == "paused"

    page.goto(f"{server.url}/?study={study.id}&trial={trial.number}")
    page.get_by_role("link", name="Clone with changes").click()
    page.get_by_label("width").fill("5" if params["width"] != 5 else "6")
    page.get_by_label("from its checkpoint").check()
    page.get_by_role("button", name="Enqueue it").click()
    expect(page.get_by_role("heading", name="/ trial")).to_be_visible()
    number = int(page.evaluate("new URLSearchParams(location.search).get('trial')"))
    made = server.call("GET", f"/studies/{study.id}/trials/{number}")
    assert (made["last_step"], made["origin"]) == (2, "enqueued")
    assert made["params"]["lr"] == params["lr"]

    page.goto(f"{server.url}/?page=submit&clone={study.id}&trial={trial.number}")
    page.get_by_label("in a new study with these values fixed").check()
    page.get_by_label("from its checkpoint").check()
    page.get_by_label("steps").select_option("anew")
    other = 8 if params["width"] != 8 else 9
    page.get_by_label("width").fill(str(other))
    page.get_by_role("button", name="Fill in the new study").click()
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("heading", name=f"{STRANGE}-t{trial.number}-2")).to_be_visible()
    with Client(server.url, TOKEN) as client, client.ask(study.id + 2) as again:
        assert again.resume is not None
        assert (again.resume.step, again.resume.path.read_bytes()) == (0, b"weights")
        assert dict(again.params) == {**params, "width": other}
        again.report(1, 0.125)


def test_real_numbers_stay_real_on_their_way_through_the_form(
    server: ServerProcess, page: Page
) -> None:
    """JavaScript takes 1.0 for 1; a choice, its condition and what is cloned tell them apart."""
    log_in(page, server, "?page=submit")
    yaml(page).fill(
        "name: kinds\nobjective: {metric: loss}\nrun: external\nspace:\n"
        "  gamma: {values: [0.0, 1.0, 2]}\n  decay: {min: 0, max: 1.0, when: {gamma: 1.0}}\n"
        "  fixed: {value: 3.0}\n"
    )
    budget(page).get_by_label("trials", exact=True).fill("3")
    expect(page.get_by_label("Choices of gamma")).to_have_value("0.0, 1.0, 2")
    page.get_by_label("Choices of gamma").fill("0.0, 1.0, 2, 4.0")
    expect(yaml(page)).to_have_value(
        "name: kinds\nobjective: {metric: loss}\nrun: external\nspace:\n"
        "  gamma: {values: [0.0, 1.0, 2, 4.0]}\n  decay: {min: 0, max: 1.0, when: {gamma: 1.0}}\n"
        "  fixed: {value: 3.0}\nbudget: {trials: 3}\n"
    )
    page.get_by_role("button", name="Submit", exact=True).click()
    expect(page.get_by_role("heading", name="kinds")).to_be_visible()
    space = server.call("GET", "/studies/kinds")["spec"]["space"]
    assert repr(space["gamma"]["values"]) == "[0.0, 1.0, 2, 4.0]"
    assert repr((space["fixed"]["value"], space["decay"]["when"])) == "(3.0, {'gamma': 1.0})"

    made = server.call("POST", "/studies/kinds/trials", {"params": {"gamma": 0.0}})
    page.goto(f"{server.url}/?page=submit&clone=kinds&trial={made['number']}")
    expect(page.get_by_label("gamma")).to_have_value("0.0")
    page.get_by_label("gamma").fill("4")
    page.get_by_role("button", name="Enqueue it").click()
    expect(page.get_by_role("heading", name="/ trial")).to_be_visible()
    again = server.call("GET", f"/studies/kinds/trials/{made['number'] + 1}")
    assert repr(again["params"]["gamma"]) == "4.0"
    page.goto(f"{server.url}/?page=submit&clone=kinds&trial={made['number']}")
    page.get_by_label("in a new study with these values fixed").check()
    page.get_by_role("button", name="Fill in the new study").click()
    expect(yaml(page)).to_have_value(
        re.compile(r"space:\n  gamma: \{value: 0\.0\}\n  fixed: \{value: 3\.0\}\n")
    )
    page.get_by_text("The same from a terminal or from Python").click()
    expect(page.get_by_text('"gamma": {"value": 0.0}')).to_be_visible()


def test_a_viewer_is_told_why_and_a_submitter_may(server: ServerProcess, page: Page) -> None:
    secrets = {
        role: server.call("POST", "/tokens", {"name": f"s-{role}", "role": role})["secret"]
        for role in ("viewer", "submitter")
    }
    log_in(page, server, "?page=submit", secrets["viewer"])
    expect(page.get_by_text("this token's role is viewer")).to_be_visible()
    expect(page.get_by_role("button", name="Submit", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login*")
    log_in(page, server, "?page=submit", secrets["submitter"])
    expect(page.get_by_role("button", name="Submit", exact=True)).to_be_enabled()
