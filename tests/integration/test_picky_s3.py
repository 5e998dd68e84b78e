"""S3 servers that refuse what boto3 sends by itself, or that do not know a condition."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore import BlobStore, ObjectStore, open_store, s3, s3_client
from kaption.objectstore.open import try_store
from kaption.objectstore.s3 import MULTIPART_BYTES
from kaption.workers.cli import doctor
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.settings import Settings
from support.certificates import Authority
from support.parts import S3Bucket
from support.picky_s3 import VENDORS, WITHOUT_CONDITIONS, PickyS3, Vendor
from support.sink_records import TOPIC, done, offsets_in, open_sink, run, stored

pytestmark = pytest.mark.integration
PART = 5 << 20
"""S3's smallest part of a multipart upload."""


@pytest.fixture
def picky(s3: S3Bucket, authority: Authority) -> Iterator[PickyS3]:
    """Give a server by TLS that takes no trailing checksums."""
    with PickyS3(s3, authority.server(), Vendor(streamed=(501, "NotImplemented"))) as picky:
        yield picky


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore repeat nothing."""
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)


@pytest.fixture
def objects(picky: PickyS3, s3: S3Bucket, authority: Authority) -> ObjectStore:
    """Give a store on it."""
    return open_store(s3.connection("p", endpoint=picky.endpoint, ca_file=str(authority.file)))


@pytest.mark.parametrize("name", [*VENDORS, *WITHOUT_CONDITIONS])
def test_the_servers_refuse_what_boto3_sends_by_itself(picky, s3, authority, name):
    picky.vendor = (VENDORS | WITHOUT_CONDITIONS)[name]
    plain = S3Bucket(picky.endpoint, s3.access_key, s3.secret_key, s3.name, str(authority.file))
    with pytest.raises(ClientError):
        plain.client().put_object(Bucket=s3.name, Key="x", Body=b"1")


@pytest.mark.parametrize("name", VENDORS)
def test_shards_and_manifests_go_through(picky, objects, name, tmp_path, monkeypatch):
    # Given a sink, and records that need a multipart upload
    monkeypatch.setattr(s3, "MULTIPART_BYTES", PART)
    picky.vendor = VENDORS[name]
    blobs, sink = BlobStore(objects), open_sink(objects, tmp_path, "w1")
    sink.resume(TOPIC, 0, 0)
    messages = [stored(blobs, offset) for offset in range(3)]
    big = blobs.put(b"\xff\xd8" * PART, "image/jpeg")
    image = messages[1].record.image.model_copy(update={"blob": big})

    # When
    assert done(run(sink, [messages[0], stored(blobs, 1, image=image), messages[2]]))

    # Then
    assert offsets_in(objects) == [0, 1, 2]
    assert any(method == "POST" and "uploadId" in path for method, path in picky.seen)
    sink.close()


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 2 * PART])
def test_a_trial_upload_takes_each_size(objects, size, monkeypatch):
    monkeypatch.setattr(s3, "MULTIPART_BYTES", PART)
    try_store(objects, "trial", size)
    assert not objects.exists("trial")


@pytest.mark.parametrize("name", WITHOUT_CONDITIONS)
def test_a_server_without_conditions_is_told_before_the_first_shard(picky, objects, name, tmp_path):
    picky.vendor = WITHOUT_CONDITIONS[name]
    sink = open_sink(objects, tmp_path, "w1")
    with pytest.raises(Fatal, match=r"does not honour If-None-Match: \*.* use AWS S3"):
        sink.resume(TOPIC, 0, 0)
    sink.close()


def test_a_policy_for_one_prefix_is_enough(picky, objects, s3, authority):
    # Given a user who may list below one prefix and may not ask for the bucket
    picky.vendor = Vendor(streamed=(501, ""), prefix="p/")
    # Then the store is ready and writes there, and another prefix says what is refused
    assert objects.ready() is None
    try_store(objects, "trial")
    other = s3.connection("q", endpoint=picky.endpoint, ca_file=str(authority.file))
    assert "lacks the right" in str(open_store(other).ready())


def test_a_proxy_that_limits_bodies_is_found_by_a_shard_of_real_size(picky, objects):
    picky.vendor = Vendor(streamed=(501, ""), largest=1 << 20)
    try_store(objects, "trial")
    with pytest.raises(Fatal, match=r"limit of the server or of the proxy"):
        try_store(objects, "trial", 2 << 20)
    assert not objects.exists("trial")


def test_a_server_that_limits_the_writes_to_a_key_is_waited_for(picky, objects):
    # Given a server that takes one write of a key in a second, as R2 does
    taken: list[float] = []

    def busy() -> bool:
        early = bool(taken) and time.monotonic() - taken[-1] < 1.0
        if not early:
            taken.append(time.monotonic())
        return early

    picky.busy = busy

    # When / Then
    try_store(objects, "trial")
    assert len(taken) == 3
    assert sum(method == "PUT" for method, _ in picky.seen) > 3


def test_an_upload_that_arrives_damaged_is_repeated(picky, objects, tmp_path):
    # Given a network that changes the first two of everything
    file, sent = tmp_path / "file", []
    file.write_bytes(b"shard")

    def change(body: bytes) -> bytes:
        sent.append(body)
        return body if len(sent) % 3 == 0 else body[:-1] + b"?"

    picky.change = change

    # When / Then
    objects.put("bytes", b"image")
    objects.put("file", file)
    assert (objects.get("bytes"), objects.get("file"), len(sent)) == (b"image", b"shard", 6)


def test_an_upload_that_always_arrives_damaged_is_fatal(picky, objects):
    picky.change = lambda body: body[:-1] + b"?"
    with pytest.raises(Fatal, match="arrived changed 4 times"):
        objects.put("x", b"image")
    assert len(picky.seen) == 4


def test_doctor_uploads_a_shard_of_real_size(picky, s3, authority):
    # Given settings with shards that need a multipart upload
    connection = s3.connection("p", endpoint=picky.endpoint, ca_file=str(authority.file))
    size = MULTIPART_BYTES + 1
    settings = Settings(store=connection, sink=SinkPolicy(shard_bytes=size))

    # When doctor tries the store
    told = doctor._store(settings)

    # Then it says so, and nothing stays
    assert f"takes a shard of {size:,} bytes" in told
    assert any("partNumber=2" in path for _, path in picky.seen)
    assert list(open_store(connection).list("")) == []


CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "put": lambda objects: objects.put("k", b"1"),
    "put a file": lambda objects: objects.put("k", Path(__file__)),
    "put_if_absent": lambda objects: objects.put_if_absent("k", b"1"),
    "get": lambda objects: objects.get("k"),
    "exists": lambda objects: objects.exists("k"),
    "list": lambda objects: list(objects.list("k")),
    "delete": lambda objects: objects.delete("k"),
}


@pytest.mark.parametrize(
    "status", [301, 302, 307, 400, 401, 402, 403, 405, 411, 413, 414, 421, 423, 501]
)
def test_what_no_repetition_mends_is_fatal(picky, objects, status):
    picky.answer = (status, b"<html>no</html>")
    for call in CALLS.values():
        with pytest.raises(Fatal, match=r"(?i)s3"):
            call(objects)


@pytest.mark.parametrize("status", [408, 425, 429, 507, 521])
def test_what_time_mends_is_a_retry(impatient, picky, objects, status):
    picky.answer = (status, b"")
    for call in CALLS.values():
        with pytest.raises(Retry):
            call(objects)


def test_a_server_that_is_no_s3_is_fatal_and_not_an_empty_store(picky, objects):
    picky.answer = (404, b"<html>not found</html>")
    for call in ("put", "put a file", "put_if_absent", "list"):
        with pytest.raises(Fatal, match=r"store\.endpoint"):
            CALLS[call](objects)
    picky.answer = (200, b"<html>please log in</html>")
    with pytest.raises(Fatal, match=r"not that of an S3 server.*store\.endpoint"):
        list(objects.list(""))
