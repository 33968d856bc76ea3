"""An S3 store of the tests' own: moto's server on loopback, and what the environment says of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

SECRET = "-".join(("of", "the", "store", "itself", "0123456789"))
BUCKET = "tuner-tests"


class Bucket:
    """A bucket, and its server. `url` is what `tuner serve --artifacts` gets."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.url = f"s3://{BUCKET}/some/where"
        import boto3

        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="AKIDTESTS",
            aws_secret_access_key=SECRET,
        )

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of a server that uses it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDTESTS",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def lay(self) -> None:
        """Make the bucket, empty."""
        httpx.post(f"{self.endpoint}/moto-api/reset", trust_env=False).raise_for_status()
        self._s3.create_bucket(Bucket=BUCKET)

    def held(self) -> list[str]:
        """Return the keys below the prefix, without it; the store's mark left out."""
        found: list[dict[str, Any]] = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        keys = [one["Key"].removeprefix("some/where/") for one in found]
        return sorted(key for key in keys if "/" in key)

    def read(self, key: str) -> bytes:
        """Return an object's content."""
        body: bytes = self._s3.get_object(Bucket=BUCKET, Key=f"some/where/{key}")["Body"].read()
        return body

    def write(self, key: str, content: bytes) -> None:
        """Put an object."""
        self._s3.put_object(Bucket=BUCKET, Key=f"some/where/{key}", Body=content)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._s3.delete_object(Bucket=BUCKET, Key=f"some/where/{key}")


@contextmanager
def serving() -> Iterator[Bucket]:
    """Serve S3 while the context is open."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel("ERROR")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Bucket(f"http://{host}:{port}")
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    """Give moto's server."""
    with serving() as served:
        yield served


@pytest.fixture
def bucket(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Give an empty bucket, and its credentials in the environment."""
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    s3.lay()
    return s3
