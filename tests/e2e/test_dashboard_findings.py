"""What is found of trainings comes to the browser while they run, with advice, trial by trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import log_in, opened
from tests.serving import TOKEN, ServerProcess
from tuner import Client

pytestmark = pytest.mark.browser
STUDY = {
    "name": "ailing",
    "objective": {"metric": "val_loss", "mode": "min"},
    "space": {"lr": {"min": 1e-6, "max": 1.0, "log": True}},
    "pruner": {"name": "none"},
    "policies": [],
    "budget": {"trials": 2, "steps": 50},
    "run": "external",
}
LAYERS = {
    "layer/in/grad": 1e-6, "layer/out/grad": 0.5, "layer/in/var": 1.0, "layer/out/var": 1.0,
}  # fmt: skip
SEEN = "update ratio 3e-5 for 5 reports"
ADVICE = "the rate is about 30 times too low"


def sick(client: Client, layers: dict[str, float]) -> None:
    """Report a training whose steps are too small."""
    with client.ask("ailing") as trial:
        for step in range(1, 6):
            metrics = {"train_loss": 2.0 - step / 100, "update_ratio": 3e-5, **layers}
            trial.report(step, 2.0 - step / 100, metrics)


def test_findings_stand_on_the_study_s_and_the_trial_s_page(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path) as server,
        Client(server.url, TOKEN) as client,
        opened() as page,
    ):
        study = client.submit(STUDY)
        log_in(page, server, "?study=ailing")
        panel = page.get_by_label("What was found")
        expect(page.get_by_role("heading", name="ailing")).to_be_visible()
        expect(panel).to_have_count(0)
        sick(client, {})
        # It came without a reload.
        expect(panel).to_contain_text("update ratio low trial 0")
        expect(panel).to_contain_text(SEEN)
        expect(panel).to_contain_text(ADVICE)
        expect(panel).to_contain_text("in 1 trial")
        sick(client, LAYERS)
        expect(panel).to_contain_text("2 trials: 1 0")
        expect(panel).to_contain_text("gradients vanish")
        expect(panel).to_contain_text("500,000 times that of in")
        assert len(study.findings(1)) == 1
        assert [event.number for event in study.findings(None)] == [1, 1, 0]
        panel.get_by_role("link", name="1", exact=True).first.click()
        _trial(page)
    said = server.log
    assert "Traceback" not in said


def _trial(page: Page) -> None:
    expect(page.get_by_role("heading", name="ailing / trial 1")).to_be_visible()
    expect(page.get_by_label("Findings")).to_contain_text(f"step 5 {SEEN}")
    expect(page.get_by_label("Findings")).to_contain_text(ADVICE)
    layers = page.get_by_label("Layers", exact=True)
    for title in ("Gradient norm by layer", "Activation variance by layer"):
        expect(layers.get_by_role("img", name=title)).to_be_visible()
    expect(layers.locator(".legend").first).to_contain_text("in")
    expect(page.get_by_label("All metrics")).to_have_count(0)  # layers have no charts of their own
