"""Addresses, credentials and TLS files of Kafka, Redis and the object store: data only."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

_S3 = re.compile(r"s3://[^/]+(/|$)")
_FOLDER = re.compile(r"(?![A-Za-z][A-Za-z0-9+.-]*:|s3/|$)", re.IGNORECASE)
_BROKER = r"\s*(\[[0-9A-Fa-f:.]+\]|[^\s,;:/\[\]]+)(:[0-9]{1,5})?\s*"
_BROKERS = re.compile(rf"{_BROKER}(,{_BROKER})*,?")
_PORT = re.compile(r":([0-9]+)\s*(?:,|$)")
_MAX_PORT = 65_535
_TOPIC_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,200}")


class _Connection(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        # A refused value may be a secret, or be shown beside one.
        hide_input_in_errors=True,
    )

    if not TYPE_CHECKING:  # type checkers see pydantic's own

        def __new__(cls, *positional: object, **fields: object) -> Self:
            """Refuse what pydantic would refuse in several lines that name no field."""
            name, first = cls.__name__, next(iter(cls.model_fields))
            if positional:
                raise TypeError(f"{name} takes its fields by name: {name}({first}=...)")
            for each in fields.keys() - cls.model_fields.keys():
                close = difflib.get_close_matches(each, cls.model_fields, 1, 0.5)
                meant = f"did you mean {close[0]}?" if close else f"such as {name}({first}=...)"
                raise TypeError(f"{name} has no field {each}; {meant}")
            return super().__new__(cls)


class KafkaConnection(_Connection):
    """How to reach Kafka."""

    bootstrap: str = "127.0.0.1:9092"
    """Brokers to ask first, as host:port, several separated by commas."""
    topic_prefix: str = ""
    """Put before the name of every topic, consumer group and transactional id. Set it when several
    deployments share one cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How the brokers' listener is secured: SSL is TLS, SASL is a log-in."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """How to log in. Set it with security_protocol SASL_SSL or SASL_PLAINTEXT."""
    username: str | None = None
    """User of the log-in, with PLAIN and SCRAM."""
    password: SecretStr | None = None
    """Password of the log-in, with PLAIN and SCRAM."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the brokers' certificates. Unset, those of the system
    are trusted."""
    certificate_file: str | None = None
    """PEM file of the client's certificate and its chain. Set it where brokers ask clients for a
    certificate."""
    key_file: str | None = None
    """PEM file of the private key of certificate_file."""
    key_password: SecretStr | None = None
    """Password of key_file, where that is encrypted."""
    oauth_token_url: str | None = None
    """With OAUTHBEARER: URL of the endpoint that gives tokens for client credentials."""
    oauth_client_id: str | None = None
    """With oauth_token_url: the name of the client."""
    oauth_client_secret: SecretStr | None = None
    """With oauth_token_url: the secret of the client."""
    oauth_scope: str | None = None
    """With oauth_token_url: the scopes to ask for, separated by blanks."""
    oauth_ca_file: str | None = None
    """With oauth_token_url: the PEM file of the authorities that sign the endpoint's certificate.
    Unset, those of the system are trusted."""
    oauth_token_file: str | None = None
    """With OAUTHBEARER, in place of oauth_token_url: a file that always holds a valid token, such
    as the one that Kubernetes mounts for a service account."""
    replication_factor: int = Field(default=-1, ge=-1)
    """Replicas of the topics that Kaption creates; -1 takes the brokers' default."""

    @property
    def uses_tls(self) -> bool:
        """Whether connections to brokers are encrypted."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not _BROKERS.fullmatch(self.bootstrap):
            raise ValueError("bootstrap is host:port, several separated by commas, without http://")
        if any(int(port) > _MAX_PORT for port in _PORT.findall(self.bootstrap)):
            raise ValueError(f"bootstrap: a port is at most {_MAX_PORT}")
        if not _TOPIC_PREFIX.fullmatch(self.topic_prefix):
            raise ValueError("topic_prefix has letters A to Z, digits, . _ and -, at most 200")
        sasl = self.security_protocol.startswith("SASL_")
        if sasl and self.sasl_mechanism is None:
            raise ValueError(f"security_protocol {self.security_protocol} needs sasl_mechanism")
        if not sasl and self.sasl_mechanism is not None:
            raise ValueError("sasl_mechanism needs security_protocol SASL_SSL (or SASL_PLAINTEXT)")
        if self.sasl_mechanism == "OAUTHBEARER":
            self._has_tokens()
        elif sasl and (self.username is None or self.password is None):
            raise ValueError(f"sasl_mechanism {self.sasl_mechanism} needs username and password")
        if not self.uses_tls and (self.ca_file or self.certificate_file):
            raise ValueError("ca_file and certificate_file need security_protocol SSL or SASL_SSL")
        _has_pair(self.certificate_file, self.key_file)
        return self

    def _has_tokens(self) -> None:
        endpoint = (self.oauth_token_url, self.oauth_client_id, self.oauth_client_secret)
        if self.oauth_token_file is not None:
            if any(endpoint):
                raise ValueError("set oauth_token_file or oauth_token_url, not both")
        elif self.oauth_token_url is None or None in endpoint:
            raise ValueError(
                "sasl_mechanism OAUTHBEARER needs oauth_token_url, oauth_client_id and "
                "oauth_client_secret, or oauth_token_file"
            )
        else:
            _is_plain_url("oauth_token_url", self.oauth_token_url)


class RedisConnection(_Connection):
    """How to reach Redis or Valkey."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """The server, as redis://, rediss:// (TLS) or unix://. It may hold a password, and so is shown
    as a secret."""
    claim_urls: tuple[SecretStr, ...] = ()
    """Further servers, each like url. The claims on the bytes of images are spread over url and
    these. Only add to the end: each place in the list holds claims."""
    username: str | None = None
    """User of the log-in, where the URL names none."""
    password: SecretStr | None = None
    """Password of the log-in, where the URL has none. Characters that a URL must encode stand here
    as they are."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the server's certificate. Unset, those of the system
    are trusted."""
    certificate_file: str | None = None
    """PEM file of the client's certificate and its chain. Set it where the server asks clients for
    a certificate."""
    key_file: str | None = None
    """PEM file of the private key of certificate_file; it must not be encrypted."""
    key_prefix: str = "kaption:"
    """Put before the name of every key. Set it when several deployments share one server."""

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.get_secret_value().startswith("rediss://")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.uses_tls and (self.ca_file or self.certificate_file):
            raise ValueError("ca_file and certificate_file need a url that begins with rediss://")
        urls = [url.get_secret_value() for url in (self.url, *self.claim_urls)]
        if len({url.startswith("rediss://") for url in urls}) > 1:
            raise ValueError("url and all claim_urls must begin with rediss://, or none of them")
        if len(set(urls)) < len(urls):
            raise ValueError("claim_urls names a server twice, or the server of url")
        _has_pair(self.certificate_file, self.key_file)
        return self


class StoreConnection(_Connection):
    """How to reach the store of images and shards."""

    url: str = "kaption-store"
    """A folder, or s3://bucket/prefix. Workers on several machines need S3."""
    endpoint: str | None = None
    """URL of an S3 server other than AWS, for example http://127.0.0.1:8333."""
    region: str = "us-east-1"
    """Region of the bucket."""
    access_key: str | None = None
    """Access key of S3. Unset, the usual AWS chain is asked: environment, profile, web identity,
    instance role."""
    secret_key: SecretStr | None = None
    """Secret of access_key."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the server's certificate. Unset, those of the system
    are trusted."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not (_S3.match(self.url) or _FOLDER.match(self.url)):
            raise ValueError(
                f"url {self.url!r} is neither a folder nor s3://bucket/prefix; begin a folder's "
                "name with ./ where it looks like an address"
            )
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("set access_key and secret_key, or neither of them")
        if self.endpoint is not None:
            _is_plain_url("endpoint", self.endpoint)
        return self


def _has_pair(certificate_file: str | None, key_file: str | None) -> None:
    if (certificate_file is None) != (key_file is None):
        raise ValueError("set certificate_file and key_file, or neither of them")


def _is_plain_url(name: str, url: str) -> None:
    """Refuse a URL with a password: errors show it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise ValueError(f"{name} is http(s)://host:port/..., without user and password")
