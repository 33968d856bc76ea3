"""Makes docs/images/watch.svg: `tuner watch` in mid-study, and what `tuner demo` ends with.

python docs/picture.py
"""

from __future__ import annotations

import io
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, RenderableType

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.figures import service
from tuner.cli.demo import example
from tuner.cli.live import render
from tuner.cli.summary import summary

PICTURE = Path(__file__).parent / "images" / "watch.svg"
MID_STUDY = 45
FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
"""Rich's own, without the fonts it would fetch from elsewhere."""


def main() -> None:
    """Run the demo's study and draw it."""
    console = Console(record=True, width=118, file=io.StringIO(), force_terminal=True)
    frame: RenderableType = ""
    with service(workers=2) as client:
        study = client.submit(example())
        for view in study.watch(poll_s=0.1):
            ended = sum(n for kind, n in view.counts.items() if kind not in ("waiting", "running"))
            running = study.running_trials()
            if ended <= MID_STUDY and len(running) == 2:
                frame = render(view, running, datetime.now(UTC))
        console.print("[dim]$ tuner watch digits-mlp[/dim]")
        console.print(frame)
        console.print()
        console.print(summary(study), highlight=False)
    PICTURE.parent.mkdir(exist_ok=True)
    svg = console.export_svg(title="tuner", code_format=FORMAT)
    PICTURE.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
