"""S3 by TLS with a private authority, and what a refusal says."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from pydantic import SecretStr

from certificates import Authority
from faults.proxy import FaultProxy
from objectstore import ObjectStore, open_store
from parts import serving
from schemas import StoreConnection
from schemas.errors import Fatal
from workers.local import SeaweedFs

pytestmark = pytest.mark.integration
BUCKET = "secure"
READER = ("reader", "reader-secret-key")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[SeaweedFs]:
    """Give a server with TLS, a bucket, and a user who may only read."""
    certificate = authority.server()
    with serving(
        SeaweedFs(certificate=certificate.certificate, key=certificate.key, readers=dict([READER]))
    ) as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            region_name="us-east-1",
            verify=str(authority.file),
        )
        client.create_bucket(Bucket=BUCKET)
        client.close()
        yield server


def _open(server: SeaweedFs, authority: Authority, **changed: Any) -> ObjectStore:
    given: dict[str, Any] = {
        "url": f"s3://{BUCKET}/here",
        "endpoint": server.endpoint,
        "access_key": server.access_key,
        "secret_key": SecretStr(server.secret_key),
        "ca_file": str(authority.file),
    }
    return open_store(StoreConnection(**given | changed))


def test_objects_go_through(server: SeaweedFs, authority: Authority) -> None:
    store = _open(server, authority)
    assert store.put_if_absent("a/b", b"1")
    assert store.get("a/b") == b"1"
    assert list(store.list("a/")) == ["a/b"]


def test_ambient_credentials_are_found(
    server: SeaweedFs, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    assert _open(server, authority, access_key=None, secret_key=None).ready() is None


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"access_key": "nobody"}, r"store\.access_key \(KAPTION_STORE__ACCESS_KEY\) is unknown"),
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
    server: SeaweedFs, authority: Authority, changed: dict[str, Any], expected: str
) -> None:
    with pytest.raises(Fatal, match=expected) as raised:
        _open(server, authority, **changed).put("x", b"1")
    if "secret_key" in changed:
        assert changed["secret_key"].get_secret_value() not in str(raised.value)


def test_an_expired_certificate_is_told(server: SeaweedFs, authority: Authority) -> None:
    # Given the plain port of the server behind a certificate that is no longer valid
    tls = authority.server(expired=True).server_context()
    with FaultProxy(server.ports[0], tls=tls) as front:
        store = _open(server, authority, endpoint=f"https://{front.address}")
        # When / Then
        with pytest.raises(Fatal, match=r"store\.endpoint \(KAPTION_STORE__ENDPOINT\): .*expired"):
            store.put("x", b"1")
