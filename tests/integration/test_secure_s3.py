"""S3 by TLS with a private authority, and what a refusal says."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from kaption.connections.errors import Fatal
from kaption.objectstore import ObjectStore, open_store
from support.certificates import Authority
from support.fault_proxy import FaultProxy
from support.parts import S3Bucket, serving
from tools.servers import SeaweedFs

pytestmark = pytest.mark.integration
READER = ("reader", "reader-secret-key")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SeaweedFs]:
    """Give a server with TLS, and a user who may only read."""
    certificate = authority.server()
    with serving(
        SeaweedFs(certificate=certificate.certificate, key=certificate.key, readers=dict([READER]))
    ) as server:
        yield server


@pytest.fixture
def bucket(server: SeaweedFs, authority: Authority) -> S3Bucket:
    """Give an empty one on it."""
    return S3Bucket.on(server, str(authority.file))


def _open(bucket: S3Bucket, **changed: Any) -> ObjectStore:
    return open_store(bucket.connection("here", **changed))


def test_objects_go_through(bucket: S3Bucket) -> None:
    store = _open(bucket)
    assert store.put_if_absent("a/b", b"1")
    assert store.get("a/b") == b"1"
    assert list(store.list("a/")) == ["a/b"]


def test_ambient_credentials_are_found(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret_key)
    assert _open(bucket, access_key=None, secret_key=None).ready() is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (
            {"access_key": "nobody"},
            r"does not know store\.access_key \(KAPTION_STORE__ACCESS_KEY\)",
        ),
        (
            {"secret_key": SecretStr("wrong-secret-key")},
            r"store\.secret_key \(KAPTION_STORE__SECRET_KEY\) does not belong",
        ),
        (
            {"access_key": READER[0], "secret_key": SecretStr(READER[1])},
            r"user of store\.access_key \(KAPTION_STORE__ACCESS_KEY\) lacks the right",
        ),
        ({"ca_file": None}, r"store\.ca_file \(KAPTION_STORE__CA_FILE\): .* not trusted"),
        ({"ca_file": "/nowhere.pem"}, r"store\.ca_file \(KAPTION_STORE__CA_FILE\): /nowhere"),
    ],
)
def test_a_refusal_names_the_setting(
    bucket: S3Bucket, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(Fatal, match=expected) as raised:
        _open(bucket, **changed).put("x", b"1")
    if "secret_key" in changed:
        assert changed["secret_key"].get_secret_value() not in str(raised.value)


def test_an_expired_certificate_is_told(
    server: SeaweedFs, authority: Authority, bucket: S3Bucket
) -> None:
    # Given the plain port of the server behind a certificate that is no longer valid
    tls = authority.server(expired=True).server_context()
    with FaultProxy(server.ports[0], tls=tls) as front:
        store = _open(bucket, endpoint=f"https://{front.address}")
        # When / Then
        with pytest.raises(Fatal, match=r"store\.endpoint \(KAPTION_STORE__ENDPOINT\): .*expired"):
            store.put("x", b"1")
