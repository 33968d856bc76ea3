"""Which parts of environments are stored, as far as this server remembers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection


class KnownParts:
    """Parts by study and digest, the last ones added: a memory that spares reading SQL."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._found: OrderedDict[tuple[int, str], None] = OrderedDict()

    def missing(self, study_id: int, digests: Collection[str]) -> set[str]:
        """Return those that are not known to be stored."""
        return {digest for digest in digests if (study_id, digest) not in self._found}

    def add(self, study_id: int, digests: Collection[str]) -> None:
        """Note that parts are stored."""
        for digest in digests:
            self._found[study_id, digest] = None
            self._found.move_to_end((study_id, digest))
        while len(self._found) > self._most:
            self._found.popitem(last=False)
