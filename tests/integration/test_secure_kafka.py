"""Logins to Kafka with TLS and SASL, and the errors of a refusal."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from kaption.connections.errors import Fatal
from kaption.connections.kafka.access import check_access
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.consumers import ReadError, TopicReader
from kaption.producers import Publisher, PublishError
from kaption.schemas.topics import CLEAN
from support.secure_kafka import SecureKafka, unsecured_token
from support.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.integration


def test_a_user_with_a_password_logs_in(secure_kafka: SecureKafka) -> None:
    assert check_access(secure_kafka.scram("ingest")) is None


def test_a_client_with_a_certificate_logs_in(secure_kafka: SecureKafka) -> None:
    connection = secure_kafka.mutual(secure_kafka.authority.client("kaption-ingest"))
    assert check_access(connection) is None
    TopicAdmin(connection).close()


def test_a_certificate_with_an_encrypted_key_logs_in(secure_kafka: SecureKafka) -> None:
    # Given a key that wants a password
    certificate = secure_kafka.authority.client("kaption-sink", password="key-secret")
    # When that is set, then both the check and the client get in
    connection = secure_kafka.mutual(certificate, key_password=SecretStr("key-secret"))
    assert check_access(connection) is None
    TopicAdmin(connection).close()
    # and a wrong one is told, without asking on the terminal
    with pytest.raises(Fatal, match=r"kafka\.key_file \(KAPTION_KAFKA__KEY_FILE\)") as raised:
        check_access(secure_kafka.mutual(certificate, key_password=SecretStr("wrong-secret")))
    assert "wrong-secret" not in str(raised.value)


Make = Callable[[SecureKafka], KafkaConnection]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            lambda kafka: kafka.scram("ingest", password=SecretStr("wrong")),
            r"kafka\.password \(KAPTION_KAFKA__PASSWORD\) is refused .* user kaption-ingest",
            id="wrong password",
        ),
        pytest.param(
            lambda kafka: kafka.scram("ingest", bootstrap=kafka.server.address("EXPIRED")),
            r"kafka\.bootstrap \(KAPTION_KAFKA__BOOTSTRAP\): .* has expired",
            id="expired certificate",
        ),
        pytest.param(
            lambda kafka: kafka.scram("ingest", ca_file=None),
            r"kafka\.ca_file \(KAPTION_KAFKA__CA_FILE\): .* authority that is not trusted",
            id="unknown authority",
        ),
        pytest.param(
            lambda kafka: kafka.scram("ingest", ca_file="/nowhere.pem"),
            r"kafka\.ca_file \(KAPTION_KAFKA__CA_FILE\): /nowhere\.pem: .*No such file",
            id="no such file",
        ),
        pytest.param(
            lambda kafka: kafka.scram(
                "ingest", bootstrap=kafka.server.address("SCRAM").replace("127.0.0.1", "localhost")
            ),
            r"kafka\.bootstrap \(KAPTION_KAFKA__BOOTSTRAP\): .* for another name",
            id="another name",
        ),
        pytest.param(
            lambda kafka: kafka.scram("ingest", bootstrap=kafka.server.address("TOKENS")),
            r"kafka\.sasl_mechanism .* does not take SCRAM-SHA-512, only OAUTHBEARER",
            id="wrong mechanism",
        ),
        pytest.param(
            lambda kafka: kafka.mutual(None),
            r"kafka\.certificate_file \(KAPTION_KAFKA__CERTIFICATE_FILE\)",
            id="no certificate of ours",
        ),
    ],
)
def test_a_refusal_is_one_error_that_names_the_setting(
    secure_kafka: SecureKafka, make: Make, expected: str
) -> None:
    # Given a connection with one thing wrong
    connection = make(secure_kafka)
    # When it is tried, by itself or by a command, a reader or a publisher
    with pytest.raises(Fatal, match=expected):
        check_access(connection)
    with pytest.raises(Fatal, match=expected):
        TopicAdmin(connection)
    with pytest.raises(ReadError, match=expected):
        TopicReader(connection, [CLEAN])
    # Then each says the same, without waiting for a time-out
    with pytest.raises(PublishError, match=expected):
        Publisher(connection)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda kafka: KafkaConnection(bootstrap=kafka.server.address("SCRAM")), id="plain"
        ),
        pytest.param(
            lambda kafka: kafka.scram("ingest", bootstrap=kafka.server.bootstrap), id="tls"
        ),
    ],
)
def test_the_wrong_protocol_is_suspected(secure_kafka: SecureKafka, make: Make) -> None:
    """It could be a broker that is just going down: it is told, and waited for."""
    seen = check_access(make(secure_kafka))
    assert seen is not None
    assert "kafka.security_protocol (KAPTION_KAFKA__SECURITY_PROTOCOL)" in seen


def test_the_second_address_is_tried_where_the_first_does_not_answer(
    secure_kafka: SecureKafka,
) -> None:
    address = f"127.0.0.1:1, {secure_kafka.server.address('SCRAM')}"
    assert check_access(secure_kafka.scram("ingest", bootstrap=address)) is None
    with pytest.raises(Fatal, match=r"kafka\.password"):
        check_access(secure_kafka.scram("ingest", bootstrap=address, password=SecretStr("wrong")))


def test_a_broker_that_does_not_answer_is_no_refusal(secure_kafka: SecureKafka) -> None:
    seen = check_access(secure_kafka.scram("ingest", bootstrap="127.0.0.1:1"))
    assert seen is not None
    assert "127.0.0.1:1" in seen


def test_a_missing_right_is_named(secure_kafka: SecureKafka) -> None:
    with (
        TopicAdmin(secure_kafka.scram("other")) as admin,
        pytest.raises(TopicError, match=r"not let User:kaption-other .* `kaption topics acls`"),
    ):
        admin.check([CLEAN])


def test_tokens_of_an_endpoint_log_in_and_are_renewed(secure_kafka: SecureKafka) -> None:
    # Given an endpoint whose tokens live so shortly that the broker asks for new ones
    with TokenEndpoint(lambda: unsecured_token("kaption-ingest", life_s=6.0)) as endpoint:
        endpoint.life_s = 6.0
        connection = secure_kafka.tokens(
            oauth_token_url=endpoint.url,
            oauth_client_id="kaption",
            oauth_client_secret=SecretStr("client-secret"),
        )
        # When a client uses the connection for longer than one lives
        with TopicAdmin(connection) as admin:
            for _ in range(10):
                with pytest.raises(TopicError, match="does not let this client"):
                    admin.check([CLEAN])
                time.sleep(1.0)
        # Then it was let in again and again, with a few tokens
        assert 2 <= len(endpoint.asked) <= 6


def test_tokens_of_a_file_log_in(secure_kafka: SecureKafka, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(unsecured_token("kaption-ingest"))
    connection = secure_kafka.tokens(oauth_token_file=str(tmp_path / "token"))
    assert check_access(connection) is None


def test_a_token_that_the_broker_refuses_is_an_error(
    secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(unsecured_token("kaption-ingest", life_s=-60.0))
    with pytest.raises(Fatal, match=r"token .* kafka\.oauth_token_file") as raised:
        check_access(secure_kafka.tokens(oauth_token_file=str(tmp_path / "token")))
    assert (tmp_path / "token").read_text() not in str(raised.value)
