"""The table that the fault tests end with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """What one case tried, and how often the promise was broken."""

    promise: str
    tries: int
    failures: int
    note: str = ""

    @property
    def bound(self) -> str:
        """The failure rate that is excluded at 95 %, by the rule of three."""
        return "-" if self.failures else f"< {3 / self.tries:.2g}"


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table, promises in the order of their names."""
    head = ("promise", "tries", "failures", "failure rate", "note")
    cells = [
        head,
        *((r.promise, str(r.tries), str(r.failures), r.bound, r.note) for r in sorted(rows)),
    ]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    for promise, tries, failures, bound, note in cells:
        yield (
            f"{promise:<{widths[0]}}  {tries:>{widths[1]}}  {failures:>{widths[2]}}  "
            f"{bound:>{widths[3]}}  {note}"
        ).rstrip()
