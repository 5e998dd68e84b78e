"""Why brokers refuse a client: told at once, with the name of the setting that is wrong.

kafka-python itself tries again until it times out, and then says only that no broker answered.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kafka.errors import (
    AuthorizationError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailedError,
)
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from kaption.connections.errors import Fatal, Retry
from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.connections.tls import setting, tls_context, tls_refusal

TIMEOUT_S = 10.0
_CONNECT_S = 5.0
"""For the connection itself: the operating system takes it also where the broker is slow."""
_STARTING_S = 3.0
_PAUSE_S = 0.5

_Client = TypeVar("_Client")

_PROTOCOL = setting("kafka", "security_protocol")
_DEFAULT_PORT = "9092"  # as in kafka-python
_RECEIVE_BYTES = 65_536
_DENIED = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailedError: "transactional-id",
}


def check_access(connection: KafkaConnection, timeout_s: float = TIMEOUT_S) -> str | None:
    """Log in once, at the first bootstrap address that answers as a broker; None where it worked.

    Raises Fatal where that broker refuses us: waiting does not help. Where no address answers as a
    broker, returns what was seen at each: waiting may help.
    """
    return _joined(_look(connection, timeout_s)) or None


def opened(connection: KafkaConnection, timeout_s: float, make: Callable[[], _Client]) -> _Client:
    """Make a client with `make`, which waits `timeout_s` for a broker and then raises KafkaError.

    Where nothing listens, only a broker that starts is waited for, a few seconds. The library would
    wait for `timeout_s` in silence, and a person at a terminal would not know for what. A broker
    that takes the connection and is silent may be slow: it has the whole `timeout_s`.

    Raises Fatal where the broker refuses this client, and Retry with a line that says what to do
    where none answers.
    """
    until = time.monotonic() + min(timeout_s, _STARTING_S)
    while _is_absent(seen := _look(connection, TIMEOUT_S)) and time.monotonic() < until:
        time.sleep(_PAUSE_S)
    try:
        if _is_absent(seen):
            raise KafkaConnectionError(_joined(seen))
        return make()
    except KafkaError as error:
        raise Retry(
            f"no Kafka broker answers at {connection.bootstrap}: {_joined(seen) or error}; "
            "start it, or correct kafka.bootstrap"
        ) from error


def denial(connection: KafkaConnection, error: BaseException) -> str | None:
    """The right that is missing, with advice; None where `error` is about something else."""
    if not isinstance(error, AuthorizationError):
        return None
    what = next((word for kind, word in _DENIED.items() if isinstance(error, kind)), "cluster")
    names = ", ".join(str(name) for name in error.args)
    return not_allowed(connection, f"use {what} {names}".rstrip())


def not_allowed(connection: KafkaConnection, what: str) -> str:
    """The message for a missing ACL; `what` is a verb and its object."""
    user = f"User:{connection.username}" if connection.username else "this client"
    return (
        f"the broker does not let {user} {what}: grant it; `kaption topics acls` prints the list, "
        f"and {setting('kafka', 'username')} names the user"
    )


def _look(connection: KafkaConnection, timeout_s: float) -> list[Exception]:
    """What was seen at each bootstrap address; nothing where one let us log in."""
    seen: list[Exception] = []
    for address in connection.bootstrap.split(","):
        try:
            with _Attempt(connection, address.strip(), timeout_s) as attempt:
                attempt.log_in()
        except (OSError, Retry, ValueError) as error:
            seen.append(error)
        else:
            return []
    return seen


def _is_absent(seen: Sequence[Exception]) -> bool:
    """Whether there is no broker at any address: none took the connection and was silent."""
    return bool(seen) and not any(isinstance(each, TimeoutError) for each in seen)


def _joined(seen: Sequence[Exception]) -> str:
    return "; ".join(map(str, seen))


class _Attempt:
    """One connection to one address.

    It speaks the protocol itself, for the library's clients hide what went wrong.
    """

    def __init__(self, connection: KafkaConnection, address: str, timeout_s: float) -> None:
        self._connection = connection
        self._address = address
        self._question = f"is {_PROTOCOL} {connection.security_protocol} right for this port?"
        host, colon, port = address.rpartition(":")
        host, port = (host, port) if colon else (address, _DEFAULT_PORT)
        self._host = host.strip("[]")
        secret = connection.key_password
        password = secret.get_secret_value() if secret else None
        context = tls_context("kafka", connection, password) if connection.uses_tls else None
        try:
            self._socket = socket.create_connection(
                (self._host, int(port)), min(timeout_s, _CONNECT_S)
            )
        except OSError as error:
            raise ConnectionError(f"{address}: {error}") from error
        self._socket.settimeout(timeout_s)
        self._protocol = KafkaProtocol(client_id="kaption")
        if context is not None:
            self._encrypt(context)

    def log_in(self) -> None:
        """Raises Fatal where the broker refuses us, Retry where no token endpoint answers.

        Raises OSError where the other side is silent, or no broker.
        """
        self._ask(ApiVersionsRequest(version=0))
        if self._connection.sasl_mechanism is None:
            return
        mechanism = self._connection.sasl_mechanism
        offered = self._ask(SaslHandshakeRequest(mechanism=mechanism, version=1))
        if offered.error_code:
            raise Fatal(
                f"{setting('kafka', 'sasl_mechanism')}: {self._address} does not take "
                f"{mechanism}, only {', '.join(offered.mechanisms)}"
            )
        exchange = get_sasl_mechanism(mechanism)(host=self._host, **client_config(self._connection))
        while not exchange.is_done():
            answer = self._ask(SaslAuthenticateRequest(exchange.auth_bytes(), version=1))
            if answer.error_code:
                raise Fatal(self._refusal())
            exchange.receive(answer.auth_bytes)

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def _encrypt(self, context: ssl.SSLContext) -> None:
        plain = self._socket
        try:
            self._socket = context.wrap_socket(plain, server_hostname=self._host)
        except (ssl.SSLError, ConnectionError) as error:
            plain.close()
            names = setting("kafka", "ca_file"), setting("kafka", "bootstrap")
            if wrong := tls_refusal(error, *names, self._address):
                raise Fatal(wrong) from error
            raise ConnectionError(
                f"{self._address} ends the TLS handshake ({error}): {self._question}"
            ) from error
        except TimeoutError as error:
            plain.close()
            raise self._silence() from error
        except OSError as error:
            plain.close()
            raise ConnectionError(f"{self._address}: {error}") from error

    def _ask(self, request: Any) -> Any:
        self._protocol.send_request(request)
        try:
            self._socket.sendall(self._protocol.send_bytes())
            while data := self._socket.recv(_RECEIVE_BYTES):
                for response in self._responses(data):
                    return response
        except TimeoutError as error:
            raise self._silence() from error
        except ssl.SSLError as error:
            if "ALERT" in (error.reason or ""):
                raise Fatal(
                    f"{self._address} does not accept our certificate ({error.reason}): give one "
                    f"by {setting('kafka', 'certificate_file')} and kafka.key_file"
                ) from error
            raise
        except OSError as error:
            raise ConnectionError(f"{self._address}: {error}") from error
        raise ConnectionError(f"{self._address} closes the connection: {self._question}")

    def _responses(self, data: bytes) -> list[Any]:
        try:
            return [response for _, response in self._protocol.receive_bytes(data)]
        except Exception as error:  # the library takes the bytes of any server apart
            raise ConnectionError(f"does not answer as Kafka does: {self._question}") from error

    def _silence(self) -> TimeoutError:
        return TimeoutError(f"{self._address} does not answer")

    def _refusal(self) -> str:
        if self._connection.sasl_mechanism == "OAUTHBEARER":
            source = "oauth_token_file" if self._connection.oauth_token_file else "oauth_token_url"
            return (
                f"{self._address} does not accept the token that {setting('kafka', source)} gives: "
                "check its issuer, audience and scope (kafka.oauth_scope) against the broker's"
            )
        return (
            f"{setting('kafka', 'password')} is refused by {self._address} for user "
            f"{self._connection.username} (kafka.username): correct one of the two"
        )
