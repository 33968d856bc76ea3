"""From what an operator wrote to a store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from storage.stores.base import Store
from storage.stores.folder import FolderStore
from tuner.errors import InvalidInput


def is_url(place: str) -> bool:
    """Tell whether a place is a store's URL, such as `s3://bucket/prefix`, and not a folder."""
    return "://" in place and not place.startswith("file://")


def folder_at(place: str | Path) -> Path:
    """Return the folder that a place is, written as a path or as `file:///PATH`."""
    return Path(str(place).removeprefix("file://"))


def open_store(
    place: str | Path, *, staging: Path | None = None, endpoint: str | None = None
) -> Store:
    """Return the store at a folder or a URL.

    Args:
        place: a folder, or a URL whose scheme fsspec knows: `s3://bucket/prefix`, `gs://...`.
            Credentials are read from the environment, as the store's own tools do.
        staging: the folder on this machine for files on their way through the server.
        endpoint: the address under which workers reach an S3 store, where it is another one.

    Raises:
        InvalidInput: the URL names no store, holds credentials, or its package is missing.
    """
    text = str(place)
    if not is_url(text):
        return FolderStore(folder_at(place).absolute())
    parts = urlsplit(text)
    if parts.username or parts.password or parts.query:
        raise InvalidInput(
            "an artifact store's URL holds no credentials and no options: give them by the "
            "environment, such as AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL"
        )
    if not (parts.netloc or parts.path.strip("/")):
        raise InvalidInput(f"{text!r} names no place in a store, such as s3://bucket/tuner")
    from storage.stores.remote import RemoteStore
    from storage.stores.s3 import S3Store

    staging = staging or Path.cwd()
    if parts.scheme in ("s3", "s3a"):
        return S3Store(text, staging=staging, endpoint=endpoint)
    if endpoint is not None:
        raise InvalidInput("an endpoint for workers is for s3:// stores only")
    return RemoteStore(text, staging=staging)
