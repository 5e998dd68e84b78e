"""A connection's settings in the words of kafka-python."""

from __future__ import annotations

import logging

from pydantic import SecretStr

from kaption.connections.kafka.oauth import token_provider
from kaption.connections.settings import KafkaConnection

_WIRE_LOGGERS = ("kafka.net.connection", "kafka.protocol.parser")
"""At level DEBUG these loggers write every byte on the wire, and so passwords and tokens."""


def client_config(connection: KafkaConnection) -> dict[str, object]:
    """Keyword arguments that every client of kafka-python takes: addresses, TLS and login.

    With SASL it also raises the level of the loggers that would write secrets.
    """
    config: dict[str, object] = {
        "bootstrap_servers": [address.strip() for address in connection.bootstrap.split(",")],
        "security_protocol": connection.security_protocol,
    }
    optional: dict[str, object] = {
        "sasl_mechanism": connection.sasl_mechanism,
        "sasl_plain_username": connection.username,
        "sasl_plain_password": _revealed(connection.password),
        "ssl_cafile": connection.ca_file,
        "ssl_certfile": connection.certificate_file,
        "ssl_keyfile": connection.key_file,
        "ssl_password": _revealed(connection.key_password),
    }
    if connection.sasl_mechanism == "OAUTHBEARER":
        optional["sasl_oauth_token_provider"] = token_provider(connection)
    if connection.sasl_mechanism is not None:
        for name in _WIRE_LOGGERS:
            logging.getLogger(name).setLevel(logging.INFO)
    return config | {name: value for name, value in optional.items() if value is not None}


def _revealed(secret: SecretStr | None) -> _Unshown | None:
    return _Unshown(secret.get_secret_value()) if secret is not None else None


class _Unshown(str):
    """A secret whose repr hides it: the admin client logs its configuration at level DEBUG."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"
