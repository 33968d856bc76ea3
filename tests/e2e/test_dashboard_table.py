"""A table of one's own from the submit page: its fields come with the task and go with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.browser import log_in, opened
from tests.serving import ServerProcess

pytestmark = pytest.mark.browser


def test_the_task_table_asks_for_a_file_and_a_target(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, opened() as page:
        log_in(page, server, "?page=submit")
        page.get_by_role("textbox", name="YAML").fill(
            "objective: {metric: val_loss}\nrun: {task: digits-mlp, device: cpu}\n"
        )
        page.get_by_label("task", exact=True).select_option("table")
        submit = page.get_by_role("button", name="Submit", exact=True)
        expect(submit).to_be_disabled()
        page.get_by_label("data", exact=True).fill("people.csv")
        page.get_by_label("target", exact=True).fill("buys")
        expect(submit).to_be_enabled()
        yaml = page.get_by_role("textbox", name="YAML")
        expect(yaml).to_have_value(
            "objective: {metric: val_loss}\n"
            "run: {task: table, device: cpu, data: people.csv, target: buys}\n"
        )
        page.screenshot(path=tmp_path / "table.png")
        page.get_by_label("task", exact=True).select_option("digits-cnn")
        expect(yaml).to_have_value(
            "objective: {metric: val_loss}\nrun: {task: digits-cnn, device: cpu}\n"
        )
        expect(page.get_by_label("target", exact=True)).to_have_count(0)
