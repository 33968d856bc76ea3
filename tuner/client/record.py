"""One trial on a server: what happened to it, and what it keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import PrivateAttr

from tuner.artifact import artifact_name
from tuner.client.transport import Transport
from tuner.errors import InvalidInput, TunerError
from tuner.wire import (
    ArtifactPage,
    ArtifactView,
    CheckpointList,
    KeptCheckpointView,
    TrialDetail,
)


class KeptFile:
    """A file that a trial keeps. `view` says what is known of it.

    Attributes:
        name: the name under which the trial keeps it, with `/` between its parts.
        size: bytes.
        sha256: of its content, in hexadecimal.
    """

    def __init__(
        self,
        transport: Transport,
        path: str,
        view: ArtifactView | KeptCheckpointView,
        name: str,
        query: Mapping[str, Any] | None = None,
    ) -> None:
        self._transport = transport
        self._path = path
        self._query = dict(query or {})
        self.view = view
        self.name = name
        self.size = view.size
        self.sha256 = view.sha256

    def pieces(self) -> Iterator[bytes]:
        """Iterate over the file's content, piece by piece."""
        return self._transport.fetch(self._path, **self._query)

    def read(self) -> bytes:
        """Return the file's content."""
        return b"".join(self.pieces())

    def download(self, folder: str | Path = ".") -> Path:
        """Write the file below `folder` under its name, and return where.

        Raises:
            FileExistsError: there is one.
            TunerError: what came has another hash.
        """
        target = Path(folder, *_checked(self.name).split("/"))
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise FileExistsError(f"{target} exists")
        part, sha = target.with_name(f".{self.sha256[:16]}.part"), hashlib.sha256()
        try:
            with part.open("wb") as file:
                for piece in self.pieces():
                    sha.update(piece)
                    file.write(piece)
            if sha.hexdigest() != self.sha256:
                raise TunerError(f"{self.name} came with another hash than it has")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return target

    def __repr__(self) -> str:
        return f"<KeptFile {self.name!r}, {self.size} bytes>"


def _checked(name: str) -> str:
    try:
        return artifact_name(name)
    except ValueError as exc:
        raise InvalidInput(f"the server names a file {name!r}: {exc}") from exc


class TrialRecord(TrialDetail):
    """A trial with the reports and events of all its attempts, as it was read."""

    _transport: Transport | None = PrivateAttr(None)
    _path: str = PrivateAttr("")

    def at(self, transport: Transport, path: str) -> Self:
        """Return this trial with the way to its files."""
        self._transport, self._path = transport, path
        return self

    def artifacts(self) -> list[KeptFile]:
        """Return the files that the trial keeps, in order of their names."""
        path = f"{self._path}/artifacts"
        found: Iterator[ArtifactView] = self._way.pages(ArtifactPage, path)
        content = f"{path}/content"
        return [
            KeptFile(self._way, content, view, view.name, {"name": view.name}) for view in found
        ]

    def checkpoints(self) -> list[KeptFile]:
        """Return the kept checkpoints, oldest first; `view.last` and `view.best` mark them."""
        path = f"{self._path}/checkpoints"
        found = self._way.get(CheckpointList, path).items
        return [
            KeptFile(
                self._way,
                f"{path}/{view.attempt}/{view.step}",
                view,
                f"checkpoints/{view.attempt}-{view.step}.safetensors",
            )
            for view in found
        ]

    @property
    def _way(self) -> Transport:
        if self._transport is None:
            raise InvalidInput("this trial was not read from a server")
        return self._transport
