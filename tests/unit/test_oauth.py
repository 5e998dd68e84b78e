"""Tokens for Kafka: how they are fetched, kept and renewed, and the errors of a refusal."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.connections.kafka.oauth import EndpointTokens, FileTokens, token_provider
from kaption.connections.settings import KafkaConnection
from support.certificates import Authority
from support.token_endpoint import TokenEndpoint


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    """Give an endpoint whose tokens are numbered, and whose client has an awkward secret."""
    numbers = count(1)
    with TokenEndpoint(lambda: f"token-{next(numbers)}", client=("us:er", "s/e+c r%t")) as server:
        yield server


def _connection(endpoint: TokenEndpoint, **changed: Any) -> KafkaConnection:
    client_id, secret = endpoint.client
    given: dict[str, Any] = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "oauth_token_url": endpoint.url,
        "oauth_client_id": client_id,
        "oauth_client_secret": SecretStr(secret),
    }
    return KafkaConnection(**given | changed)


def test_a_token_is_kept_until_most_of_its_life_is_over(endpoint: TokenEndpoint) -> None:
    # Given tokens that live for 100 s
    endpoint.life_s = 100.0
    now = 0.0
    tokens = EndpointTokens(_connection(endpoint, oauth_scope="kafka all"), clock=lambda: now)
    # When tokens are wanted over time, then each is given again until a fifth of its life is left
    assert [tokens.token(), tokens.token()] == ["token-1", "token-1"]
    now = 79.0
    assert tokens.token() == "token-1"
    now = 81.0
    assert tokens.token() == "token-2"
    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": "kafka all"}] * 2


def test_a_token_of_unknown_life_is_used_once(endpoint: TokenEndpoint) -> None:
    endpoint.answer = (200, b'{"access_token": "t"}')
    tokens = EndpointTokens(_connection(endpoint))
    assert [tokens.token(), tokens.token()] == ["t", "t"]
    assert len(endpoint.asked) == 2


def test_clients_of_one_connection_share_their_tokens(endpoint: TokenEndpoint) -> None:
    assert token_provider(_connection(endpoint)) is token_provider(_connection(endpoint))


@pytest.mark.parametrize(
    ("answer", "kind", "expected"),
    [
        (
            (401, b"{}"),
            Fatal,
            r"HTTP 401.*kafka\.oauth_client_secret \(KAPTION_KAFKA__OAUTH_CLIENT",
        ),
        ((404, b""), Fatal, r"kafka\.oauth_token_url .* HTTP 404"),
        ((302, b"http://127.0.0.1:1/"), Fatal, r"kafka\.oauth_token_url .* HTTP 302"),
        ((200, b"<html>"), Fatal, "no OAuth token"),
        ((200, b"[1]"), Fatal, "no OAuth token"),
        ((503, b""), Retry, r"kafka\.oauth_token_url .* 503"),
    ],
)
def test_an_answer_that_is_no_token_is_an_error(
    endpoint: TokenEndpoint, answer: tuple[int, bytes], kind: type[Fault], expected: str
) -> None:
    endpoint.answer = answer
    with pytest.raises(kind, match=expected) as raised:
        EndpointTokens(_connection(endpoint)).token()
    assert endpoint.client[1] not in str(raised.value)


def test_an_endpoint_that_does_not_answer_may_be_asked_again(endpoint: TokenEndpoint) -> None:
    with pytest.raises(Retry, match=r"kafka\.oauth_token_url"):
        EndpointTokens(_connection(endpoint, oauth_token_url="http://127.0.0.1:1/")).token()


def test_an_endpoint_with_a_private_authority_needs_its_file(authority: Authority) -> None:
    # Given an endpoint whose certificate a private authority has signed
    with TokenEndpoint(lambda: "t", tls=authority.server().server_context()) as endpoint:
        # When that is named, then it is trusted
        trusting = _connection(endpoint, oauth_ca_file=str(authority.file))
        assert EndpointTokens(trusting).token() == "t"
        # and without it, the setting is named
        with pytest.raises(Fatal, match=r"kafka\.oauth_ca_file \(KAPTION_KAFKA__OAUTH_CA_FILE\)"):
            EndpointTokens(_connection(endpoint)).token()


def test_a_token_file_is_read_for_each_login(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens = FileTokens(path)
    for content in ("first\n", "second\n"):
        path.write_text(content)
        assert tokens.token() == content.strip()


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_file_without_a_token_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Fatal, match=r"kafka\.oauth_token_file"):
        FileTokens(path).token()
