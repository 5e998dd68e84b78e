"""Addresses, credentials and TLS files of Kafka, Redis and the object store: data only."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator


class _Connection(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        # A refused value may be a secret, or be shown beside one.
        hide_input_in_errors=True,
    )


class KafkaConnection(_Connection):
    """A Kafka cluster."""

    bootstrap: str = "127.0.0.1:9092"
    """host:port, comma separated."""
    topic_prefix: str = ""
    """Prefix of every topic and group name, for several deployments on one cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Encryption and login: SSL is TLS, SASL a login by `sasl_mechanism`."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = None
    """How to log in; set exactly where security_protocol begins with SASL."""
    username: str | None = None
    """User to log in as; for PLAIN and SCRAM."""
    password: SecretStr | None = None
    """Password of that user."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the brokers' certificates; None: the system's."""
    certificate_file: str | None = None
    """PEM file of the client's certificate and its chain, where brokers ask for one."""
    key_file: str | None = None
    """PEM file of the certificate's private key."""
    key_password: SecretStr | None = None
    """Password of an encrypted `key_file`."""
    oauth_token_url: str | None = None
    """With OAUTHBEARER: URL of the endpoint that gives tokens for client credentials."""
    oauth_client_id: str | None = None
    """Client to ask the endpoint as."""
    oauth_client_secret: SecretStr | None = None
    """Secret of that client."""
    oauth_scope: str | None = None
    """Scopes to ask for, separated by blanks."""
    oauth_ca_file: str | None = None
    """PEM file of the authorities that sign the endpoint's certificate; None: the system's."""
    oauth_token_file: str | None = None
    """Instead of an endpoint: a file that always holds a valid token, such as Kubernetes mounts."""
    replication_factor: int = Field(default=-1, ge=-1)
    """For topics that Kaption creates; -1 takes the broker's default."""

    @property
    def uses_tls(self) -> bool:
        """Whether connections to brokers are encrypted."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
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
                raise ValueError("oauth_token_file and oauth_token_url exclude each other")
        elif self.oauth_token_url is None or None in endpoint:
            raise ValueError(
                "sasl_mechanism OAUTHBEARER needs oauth_token_url, oauth_client_id and "
                "oauth_client_secret, or oauth_token_file"
            )
        else:
            _is_plain_url("oauth_token_url", self.oauth_token_url)


class RedisConnection(_Connection):
    """A Redis or Valkey server."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """redis://, rediss:// (TLS) or unix://. It may hold the password, so it is never shown."""
    username: str | None = None
    """User, instead of one in the URL."""
    password: SecretStr | None = None
    """Password, instead of one in the URL, where it would have to be percent-encoded."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the server's certificate; None: the system's."""
    certificate_file: str | None = None
    """PEM file of the client's certificate and its chain, where the server asks for one."""
    key_file: str | None = None
    """PEM file of the certificate's private key, not encrypted."""
    key_prefix: str = "kaption:"
    """Prefix of every key, for several deployments on one server."""

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.get_secret_value().startswith("rediss://")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.uses_tls and (self.ca_file or self.certificate_file):
            raise ValueError("ca_file and certificate_file need a url that begins with rediss://")
        _has_pair(self.certificate_file, self.key_file)
        return self


class StoreConnection(_Connection):
    """The object store for blobs (images by their content) and shards."""

    url: str = "kaption-store"
    """A folder, or s3://bucket/prefix."""
    endpoint: str | None = None
    """For S3 servers other than AWS, for example http://127.0.0.1:8333."""
    region: str = "us-east-1"
    """Region of S3."""
    access_key: str | None = None
    """None: the usual AWS chain (environment, profile, web identity, instance role)."""
    secret_key: SecretStr | None = None
    """Secret of `access_key`; both are set or neither."""
    ca_file: str | None = None
    """PEM file of the authorities that sign the server's certificate; None: the system's."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key are set both or neither")
        if self.endpoint is not None:
            _is_plain_url("endpoint", self.endpoint)
        return self


def _has_pair(certificate_file: str | None, key_file: str | None) -> None:
    if (certificate_file is None) != (key_file is None):
        raise ValueError("certificate_file and key_file are set both or neither")


def _is_plain_url(name: str, url: str) -> None:
    """Refuse a URL with a password: errors show it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise ValueError(f"{name} is http(s)://host:port/..., without user and password")
