"""Where Kafka or S3 should be, another server answers: one line says what to correct."""

from collections.abc import Callable

import pytest

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.connections.kafka.access import check_access
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.objectstore import ObjectStore, open_store, s3_client
from support.answering import answering

pytestmark = pytest.mark.slow

NO_BROKER = {
    "a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n<html>",
    "SSH": b"SSH-2.0-OpenSSH\r\n",
    "Redis": b"-ERR unknown command\r\n",
    "an alert of TLS": b"\x15\x03\x01\x00\x02\x02\x46",
    "zeros": bytes(64),
    "a huge frame": b"\x7f\xff\xff\xff" + bytes(50),
    "a negative frame": b"\xff" * 32,
    "half a frame": b"\0\0\0\x40\0\0",
    "the answer to another request": b"\0\0\0\x0c\0\0\0\x63" + bytes(8),
    "nothing": b"",
}


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("answer", NO_BROKER.values(), ids=NO_BROKER)
def test_what_is_no_broker_is_told_in_one_line(answer: bytes, protocol: str, closes: bool) -> None:
    log_in = {"sasl_mechanism": "PLAIN", "username": "kaption", "password": "x"}
    with answering(answer, closes) as port:
        connection = KafkaConnection.model_validate(
            {
                "bootstrap": f"127.0.0.1:{port}",
                "security_protocol": protocol,
                **(log_in if protocol == "SASL_SSL" else {}),
            }
        )
        seen = check_access(connection, timeout_s=0.3) or ""
    assert f"127.0.0.1:{port}" in seen
    assert "\n" not in seen
    assert len(seen) < 300


def xml(code: str, message: str = "m") -> bytes:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return f"<?xml version='1.0'?>{error}".encode()


def http(status: int, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


PAGE = b"<html><body>Please log in</body></html>"
REGION = "store.region"
NO_S3 = {
    "a page": (http(200, PAGE), Fatal, "store.endpoint"),
    "a page that forbids": (http(403, PAGE), Fatal, "without a code of S3"),
    "a page about TLS": (http(400, PAGE), Fatal, "store.endpoint"),
    "a page of a gateway": (http(502, PAGE), Retry, "502"),
    "a redirect": (http(302, PAGE, "Location: http://127.0.0.1:1/"), Fatal, "store.endpoint"),
    "another region": (
        http(301, xml("PermanentRedirect"), "x-amz-bucket-region: eu-west-9"),
        Fatal,
        REGION,
    ),
    "a region that is malformed": (http(400, xml("AuthorizationHeaderMalformed")), Fatal, REGION),
    "a clock that is wrong": (http(403, xml("RequestTimeTooSkewed")), Fatal, "clock is wrong"),
    "a token that is old": (http(400, xml("ExpiredToken")), Fatal, "renew them"),
    "no reason": (http(400, b""), Fatal, "store.endpoint"),
    "a code of its own": (http(418, xml("Teapot")), Fatal, "Teapot"),
    "line breaks": (
        http(403, xml(" AccessDenied\n", "no\nno\n\nno")),
        Fatal,
        "no no no; the user of",
    ),
    "line breaks of one that is busy": (http(503, xml("SlowDown", "a\n\nb")), Retry, ": a b$"),
    "JSON": (http(403, b'{"error": "no"}'), Fatal, "store.access_key"),
    "half a page": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", Fault, "S3"),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Fault, "S3"),
    "Redis": (b"-ERR unknown command\r\n", Retry, "S3"),
    "nothing": (b"", Retry, "S3"),
}
CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "put": lambda store: store.put("key", b"1"),
    "put_if_absent": lambda store: store.put_if_absent("key", b"1"),
    "list": lambda store: list(store.list("")),
}
CUT = {
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "half a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nabc",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("answer", "kind", "said"), NO_S3.values(), ids=NO_S3)
def test_what_is_no_s3_is_told_in_one_line(
    answer: bytes,
    kind: type[Fault],
    said: str,
    call: Callable[[ObjectStore], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    with answering(answer, closes=True) as port:
        store = store_at(f"http://127.0.0.1:{port}")
        with pytest.raises(kind, match=said) as refused:
            call(store)
    assert "\n" not in str(refused.value)
    assert "()" not in str(refused.value)


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
def test_an_object_that_breaks_off_is_read_again(answer: bytes) -> None:
    with answering(answer, closes=True) as port:
        store = store_at(f"http://127.0.0.1:{port}")
        with pytest.raises(Retry):
            store.get("key")


def test_tls_on_a_plain_port_is_told_with_the_form_of_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    with answering(http(400, PAGE), closes=True) as port:
        store = store_at(f"https://127.0.0.1:{port}")
        with pytest.raises(Retry, match="https:// where it speaks TLS"):
            store.put("key", b"1")


def store_at(endpoint: str) -> ObjectStore:
    connection = {"url": "s3://bucket/x", "endpoint": endpoint}
    return open_store(
        StoreConnection.model_validate({**connection, "access_key": "a", "secret_key": "s"})
    )
