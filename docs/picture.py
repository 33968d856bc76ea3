"""Makes docs/images/watch.svg: `tuner watch` in mid-study, and what `tuner demo` ends with.

python docs/picture.py
"""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console, RenderableType

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.figures import service
from tuner.cli.demo import example
from tuner.cli.live import render
from tuner.cli.summary import summary

PICTURE = Path(__file__).parent / "images" / "watch.svg"
MID_STUDY = 45


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
    PICTURE.write_text(console.export_svg(title="tuner"), encoding="utf-8")


if __name__ == "__main__":
    main()
