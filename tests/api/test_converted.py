"""What `tuner convert` makes of other tools' documents, the server takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.api.node import serve
from tuner.convert import convert, text_of
from tuner.spec import parse_json, parse_yaml

pytestmark = pytest.mark.anyio
FILES = Path(__file__).parents[1] / "fixtures" / "convert"


async def test_every_converted_document_passes_a_dry_run(tmp_path: Path) -> None:
    files = sorted([*FILES.glob("wandb/*"), *FILES.glob("katib/*")])
    assert len(files) > 8
    async with serve(tmp_path) as node:
        for file in files:
            text = file.read_text(encoding="utf-8")
            source = parse_json(text) if file.suffix == ".json" else parse_yaml(text)
            reply = await node.http.post(
                "/api/v1/studies?dry_run=true",
                content=text_of(convert(source)),
                headers={"Content-Type": "application/yaml"},
            )
            assert reply.status_code == 200, (file, reply.text)
