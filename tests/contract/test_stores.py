"""One suite for every store: a folder, S3 (moto's server), and what else fsspec knows."""

from __future__ import annotations

import errno
import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from storage.stores import FolderStore, Store, open_store
from tests.bucket import SECRET, Bucket
from tuner.errors import InvalidInput, NotFound, Unavailable

HASH = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture(params=["folder", "s3", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Give an empty store of each kind."""
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return open_store(tmp_path / "store")
    if request.param == "memory":
        return open_store(f"memory://{uuid.uuid4().hex}/x", staging=tmp_path)
    bucket: Bucket = request.getfixturevalue("bucket")
    return open_store(bucket.url, staging=tmp_path)


def put(store: Store, key: str, content: bytes = b"weights") -> None:
    part = store.part(key)
    part.write_bytes(content)
    store.take(part, key)
    assert not part.exists()


def read(store: Store, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def test_a_store_that_can_be_used_is_checked(store: Store) -> None:
    store.check()


def test_a_bucket_that_is_not_there_is_said(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"s3://another/x: there is no such bucket"):
        open_store("s3://another/x", staging=tmp_path).check()


def test_what_was_put_is_there(store: Store) -> None:
    put(store, "3/17/1-20-abc.safetensors")
    assert store.size("3/17/1-20-abc.safetensors") == 7
    assert read(store, "3/17/1-20-abc.safetensors") == b"weights"
    with store.open("3/17/1-20-abc.safetensors") as file:
        file.seek(3)
        assert file.read(2) == b"gh"


def test_a_file_that_can_not_be_reached_is_not_said_to_be_gone(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("x")
    with pytest.raises(Unavailable):
        FolderStore(tmp_path).size("x")


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EMFILE, Unavailable), (errno.EACCES, NotFound), (errno.EIO, NotFound)],
)
def test_a_file_can_not_be_read_now_or_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: type[Exception]
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(told):
        FolderStore(tmp_path).open("x")


def test_what_is_not_there(store: Store) -> None:
    assert store.size("1/0/x") is None
    with pytest.raises(NotFound):
        store.open("1/0/x")
    with pytest.raises(NotFound):
        store.copy("1/0/x", "1/0/y")
    store.delete("1/0/x")
    store.delete_all("1")
    assert list(store.listing()) == []


def test_deleting(store: Store) -> None:
    for key in ("1/0/a", "1/1/b", "11/0/c"):
        put(store, key)
    store.delete("1/0/a")
    assert store.size("1/0/a") is None
    store.delete_all("1")
    assert [found.key for found in store.listing()] == ["11/0/c"]


def test_a_copy_outlives_its_source(store: Store) -> None:
    put(store, "1/0/a")
    store.copy("1/0/a", "1/kept/b")
    store.delete("1/0/a")
    assert read(store, "1/kept/b") == b"weights"


def test_the_listing_says_when_and_how_large(store: Store) -> None:
    put(store, "1/0/a")
    put(store, "2/0/files/b", b"")
    left = store.part("1/0/c")
    left.write_bytes(b"left behind")
    found = {stat.key: stat for stat in store.listing()}
    sizes = {key: stat.size for key, stat in found.items()}
    assert sizes.pop("1/0/a") == 7
    assert sizes.pop("2/0/files/b") == 0
    assert list(sizes.values()) == [11]
    near = timedelta(minutes=5)
    assert all(abs(datetime.now(UTC) - stat.modified) < near for stat in found.values())
    assert [stat.key for stat in store.listing("2")] == ["2/0/files/b"]
    (part,) = sizes
    store.delete(part)
    assert not left.exists()


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../x", ""])
def test_nothing_leads_out(store: Store, key: str) -> None:
    assert store.size(key) is None
    with pytest.raises((InvalidInput, NotFound)):
        store.open(key)
    with pytest.raises(InvalidInput):
        store.delete(key)


def test_a_signed_put_is_bound_to_size_and_hash(bucket: Bucket, tmp_path: Path) -> None:
    store = open_store(bucket.url, staging=tmp_path)
    signed = store.sign_put("1/0/a", size=7, sha256=HASH, expires_s=300)
    assert signed is not None
    query = httpx.URL(signed.url).params
    assert query["X-Amz-Expires"] == "300"
    bound = query["X-Amz-SignedHeaders"].split(";")
    assert {"content-length", "host", "x-amz-checksum-sha256"} <= set(bound)
    assert SECRET not in f"{signed}"
    reply = httpx.put(signed.url, headers=signed.headers, content=b"weights", trust_env=False)
    assert reply.status_code == 200, reply.text
    assert (store.size("1/0/a"), store.sha256("1/0/a")) == (7, HASH)
    back = store.sign_get("1/0/a", expires_s=60)
    assert back is not None
    assert httpx.get(back.url, trust_env=False).content == b"weights"


def test_signatures_are_for_the_workers_address(bucket: Bucket, tmp_path: Path) -> None:
    store = open_store(bucket.url, staging=tmp_path, endpoint="https://s3.example:9000")
    signed = store.sign_put("1/0/a", size=7, sha256=HASH, expires_s=300)
    assert signed is not None
    assert signed.url.startswith("https://s3.example:9000/")
    put(store, "1/0/a")
    assert bucket.held() == ["1/0/a"]


def test_too_large_for_one_request_goes_through_the_server(bucket: Bucket, tmp_path: Path) -> None:
    store = open_store(bucket.url, staging=tmp_path)
    assert store.sign_put("1/0/a", size=5 * 2**30 + 1, sha256=HASH, expires_s=300) is None


def test_a_folder_signs_nothing(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert store.sign_put("1/0/a", size=7, sha256=HASH, expires_s=300) is None
    assert store.sign_get("1/0/a", expires_s=300) is None
    assert store.sha256("1/0/a") is None


def test_a_store_that_is_away_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTESTS")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = open_store("s3://nowhere/x", staging=tmp_path)
    with pytest.raises(Unavailable, match="can't be used"):
        store.check()
    with pytest.raises(Unavailable, match="does not answer") as found:
        store.size("1/0/a")
    assert SECRET not in f"{found.value} {found.value.__cause__}"


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("@".join(("s3://AKID:secret", "bucket/x")), "no credentials"),
        ("s3://bucket/x?versionId=1", "no credentials"),
        ("s3://", "names no place"),
        ("nonsense://x/y", "names no store"),
    ],
)
def test_what_is_no_store(place: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=words):
        open_store(place, staging=tmp_path)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    found = open_store(f"file://{tmp_path}/x")
    assert isinstance(found, FolderStore)
    assert found.root == tmp_path / "x"
