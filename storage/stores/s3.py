"""S3 and what speaks like it: requests signed here go from workers to the store directly."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any, cast

from storage.stores.base import Signed
from storage.stores.remote import RemoteStore, filesystem
from tuner.errors import Unavailable

LARGEST_PUT = 5 * 2**30
"""Bytes that S3 takes in one request."""
_SIGNING = {"signature_version": "s3v4"}
"""Only version 4 binds the headers: size and checksum."""


class S3Store(RemoteStore):
    """Files in a bucket, under a prefix.

    Args:
        endpoint: the address under which workers reach the store; the server's own by default. A
            signature holds for one host, so that it can't be changed afterwards.
    """

    def __init__(self, url: str, *, staging: Path, endpoint: str | None = None) -> None:
        super().__init__(url, staging=staging, config_kwargs=_SIGNING)
        self._signer = self.fs
        if endpoint is not None:
            self._signer, _ = filesystem(url, config_kwargs=_SIGNING, endpoint_url=endpoint)

    def check(self) -> None:
        """Raise Unavailable if there is no such bucket, or it is not for us."""
        bucket, _ = self._place("x")
        try:
            self.fs.call_s3("head_bucket", Bucket=bucket)
        except FileNotFoundError as exc:
            raise Unavailable(f"{self.name}: there is no such bucket") from exc
        except Exception as exc:
            raise Unavailable(f"{self.name} can't be used") from exc

    def sha256(self, key: str) -> str | None:
        """Return the SHA-256 that the store checked when it took the file, if it did."""
        bucket, name = self._place(key)
        with self._translated():
            found = self.fs.call_s3("head_object", Bucket=bucket, Key=name, ChecksumMode="ENABLED")
        return _hexadecimal(found.get("ChecksumSHA256"))

    def sign_put(self, key: str, *, size: int, sha256: str, expires_s: float) -> Signed | None:
        """Return a request that puts content of this size and hash; None if it is too large."""
        if size > LARGEST_PUT:
            return None
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        bound = {"ContentLength": size, "ChecksumSHA256": checksum, "ChecksumAlgorithm": "SHA256"}
        headers = {
            "Content-Length": str(size),
            "x-amz-checksum-sha256": checksum,
            "x-amz-sdk-checksum-algorithm": "SHA256",
        }
        url = self._sign(key, "put_object", expires_s, **bound)
        return Signed(method="PUT", url=url, headers=headers, expires_s=expires_s)

    def sign_get(self, key: str, *, expires_s: float) -> Signed | None:
        """Return a request that gets a file."""
        url = self._sign(key, "get_object", expires_s)
        return Signed(method="GET", url=url, headers={}, expires_s=expires_s)

    def _sign(self, key: str, method: str, expires_s: float, **bound: Any) -> str:
        with self._translated():
            path, seconds = self.path(key), int(expires_s)
            return cast(str, self._signer.url(path, seconds, client_method=method, **bound))

    def _place(self, key: str) -> tuple[str, str]:
        bucket, _, name = self.path(key).partition("/")
        return bucket, name


def _hexadecimal(checksum: str | None) -> str | None:
    """Return a checksum of a whole file; one of parts (`...-3`) says nothing of it."""
    if checksum is None or "-" in checksum:
        return None
    try:
        return base64.b64decode(checksum, validate=True).hex()
    except binascii.Error:
        return None
