"""Connections: wrong combinations of settings are refused, and no error shows a secret."""

from typing import Any

import pytest
from pydantic import ValidationError

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection

SECRET = "hunter2"
SCRAM: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "username": "kaption",
    "password": SECRET,
}
TOKENS: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://login.example.org/token",
    "oauth_client_id": "kaption",
    "oauth_client_secret": SECRET,
}


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        (KafkaConnection, {"security_protocol": "SASL_SSL"}, "needs sasl_mechanism"),
        (KafkaConnection, SCRAM | {"security_protocol": "SSL"}, "needs security_protocol SASL_SSL"),
        (KafkaConnection, SCRAM | {"username": None}, "needs username and password"),
        (KafkaConnection, SCRAM | {"certificate_file": "a.pem"}, "certificate_file and key_file"),
        (KafkaConnection, {"ca_file": "ca.pem"}, "need security_protocol SSL or SASL_SSL"),
        (KafkaConnection, TOKENS | {"oauth_client_id": None}, "needs oauth_token_url"),
        (KafkaConnection, TOKENS | {"oauth_token_file": "token"}, "not both"),
        (
            KafkaConnection,
            TOKENS | {"oauth_token_url": f"https://me:{SECRET}@login.example.org/"},
            "without user and password",
        ),
        (KafkaConnection, {"bootstrap": ""}, "bootstrap is host:port"),
        (KafkaConnection, {"bootstrap": "kafka:port"}, "bootstrap is host:port"),
        (KafkaConnection, {"bootstrap": "kafka:9092/topic"}, "bootstrap is host:port"),
        (KafkaConnection, {"bootstrap": "a:9092;b:9092"}, "several separated by commas"),
        (KafkaConnection, {"bootstrap": "a:9092 b:9092"}, "several separated by commas"),
        (KafkaConnection, {"bootstrap": f"SSL://{SECRET}:9092"}, "bootstrap is host:port"),
        (KafkaConnection, {"topic_prefix": "my crawl."}, "topic_prefix has letters"),
        (KafkaConnection, {"topic_prefix": "x" * 201}, "topic_prefix has letters"),
        (RedisConnection, {"password": SECRET, "ca_file": "ca.pem"}, "rediss://"),
        (StoreConnection, {"secret_key": SECRET}, "access_key and secret_key"),
        (StoreConnection, {"endpoint": f"http://me:{SECRET}@s3"}, "without user and password"),
        (KafkaConnection, SCRAM | {"password": {SECRET: 1}}, "password"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    kind: type[Any], given: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValidationError, match=expected) as raised:
        kind(**given)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "bootstrap", ["kafka", "kafka:9092,", "a:1, b_c.d-e:2", "[::1]:9092,10.0.0.1:9", "кафка:9092"]
)
def test_addresses_of_brokers_are_accepted(bootstrap: str) -> None:
    assert KafkaConnection(bootstrap=bootstrap, topic_prefix="my-crawl_2.").bootstrap == bootstrap


def test_a_client_gets_its_configuration_and_shows_no_password() -> None:
    config = client_config(KafkaConnection(**SCRAM, bootstrap="a:1, b:2", ca_file="ca.pem"))
    assert config["bootstrap_servers"] == ["a:1", "b:2"]
    assert (config["sasl_plain_password"], config["ssl_cafile"]) == (SECRET, "ca.pem")
    assert SECRET not in repr(config)
