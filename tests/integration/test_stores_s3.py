"""S3's errors, on a real server."""

import socket

import pytest

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.open import patiently
from kaption.objectstore.s3 import S3Store
from support.parts import S3Bucket
from tools.servers import SeaweedFs


@pytest.mark.parametrize(("part", "value"), [("access_key", "nobody"), ("secret_key", "wrong")])
def test_wrong_credentials_are_fatal_and_say_which_settings(s3, part, value):
    # Given credentials that the server does not know
    store = S3Store(s3.connection(**{part: value}))

    # When / Then every call says what to check
    for call in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: store.exists("a")):
        with pytest.raises(Fatal, match=r"store\.access_key"):
            call()
    assert "store.access_key" in (store.ready() or "")


def test_a_missing_bucket_is_fatal(s3):
    store = S3Store(s3.connection(url="s3://no-such-bucket/x"))
    with pytest.raises(Fatal, match="no bucket no-such-bucket"):
        store.get("a")
    assert "no bucket no-such-bucket" in (store.ready() or "")


def test_a_server_that_is_down_is_a_retry(s3):
    # Given an endpoint where nothing listens
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    store = S3Store(s3.connection(endpoint=f"http://127.0.0.1:{port}"))

    # When / Then
    with pytest.raises(Retry, match="S3"):
        store.put("a", b"")
    assert "S3" in (store.ready() or "")


def test_an_endpoint_that_is_no_url_is_fatal(s3):
    with pytest.raises(Fatal, match=r"store\.endpoint"):
        S3Store(s3.connection().model_copy(update={"endpoint": "not an address"}))


def test_a_restarted_server_still_has_the_objects():
    # Given an object on a server that is killed after the write was answered
    with SeaweedFs() as server:
        store = S3Store(S3Bucket.on(server).connection())
        assert store.put_if_absent("m", b"manifest")
        server.kill9()
        with pytest.raises(Retry):
            store.get("m")

        # When it starts again / Then the same client goes on, once the server finds its volumes
        server.start()
        assert patiently(lambda: store.get("m")) == b"manifest"
        assert store.put_if_absent("m", b"other") is False
