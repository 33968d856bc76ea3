"""What bookkeeping costs, beside Optuna's own storages and a bare route, in one run.

    python benchmarks/bookkeeping.py [--quick] [--markdown] [--json FILE]
    python benchmarks/bookkeeping.py load --url URL --token TOKEN [--clients 8] [--slots 8]

The first prints a table of every figure with its peer, ratio, goal and verdict. `load` makes the
load on a server that runs already, for instance one that is profiled; see docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from benchmarks.rates.facts import facts  # noqa: E402
from benchmarks.rates.lines import as_json, markdown, table  # noqa: E402
from benchmarks.rates.load import Plan, load  # noqa: E402
from benchmarks.rates.rounds import FULL, QUICK, TINY, measured  # noqa: E402


def compare(form: str, file: Path | None, *, as_markdown: bool) -> None:
    """Measure everything, print the table, and write all figures where a file is named."""
    logging.disable(logging.INFO)
    chosen = {"full": FULL, "quick": QUICK, "tiny": TINY}[form]
    before = facts()
    print(", ".join(f"{name} {value}" for name, value in before.items()))
    rounds = measured(chosen, lambda text: print(text, file=sys.stderr, flush=True))
    load_after = f"{os.getloadavg()[0]:.2f}"
    found = as_json(chosen, rounds, {**before, "load after": load_after})
    if as_markdown:
        print(markdown(found["lines"]))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(found["lines"]))
    print(f"load after {load_after}")
    if file is not None:
        file.write_text(json.dumps(found, indent=1) + "\n")


def put_load(options: dict[str, Any]) -> None:
    """Make the load on a running server and print what it found."""
    pairs = (pair.partition("=") for pair in options.pop("pid"))
    roots = {name: int(pid) for name, _, pid in pairs}
    print(json.dumps(load(Plan(**options, roots=roots)), indent=1))


def parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    whole = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    form = whole.add_mutually_exclusive_group()
    for name, meaning in (("quick", "a good minute"), ("tiny", "to see that it runs")):
        form.add_argument(f"--{name}", dest="form", action="store_const", const=name, help=meaning)
    whole.set_defaults(form="full")
    whole.add_argument("--json", type=Path, metavar="FILE", help="write every round's figures")
    whole.add_argument("--markdown", action="store_true", help="print a table for a page")
    one = whole.add_subparsers(dest="command").add_parser("load", help="load a running server")
    one.add_argument("--url", required=True)
    one.add_argument("--token", required=True)
    one.add_argument("--clients", type=int, default=8)
    one.add_argument("--slots", type=int, default=8)
    one.add_argument("--trials", type=int, help="how many; else for --seconds after --warm")
    one.add_argument("--seconds", type=float, default=5.0)
    one.add_argument("--warm", type=float, default=1.0)
    one.add_argument("--steps", type=int, default=10)
    one.add_argument("--sampler", default="random")
    one.add_argument("--study", default="", help="an existing study, the only one with trials")
    one.add_argument("--pid", action="append", default=[], metavar="NAME=PID")
    return whole


def main() -> None:
    """Run what the options ask for."""
    options = vars(parser().parse_args())
    form, file, as_markdown = (options.pop(name) for name in ("form", "json", "markdown"))
    if options.pop("command") == "load":
        put_load(options)
    else:
        compare(form, file, as_markdown=as_markdown)


if __name__ == "__main__":
    main()
