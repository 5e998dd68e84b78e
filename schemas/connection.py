"""How to reach Kafka, Redis and the object store; read from settings, used by every side."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class _Connection(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KafkaConnection(_Connection):
    """A Kafka cluster."""

    bootstrap: str = "127.0.0.1:9092"
    """host:port, comma separated."""
    topic_prefix: str = ""
    """Put before every topic and group name, for several deployments on one cluster."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None
    ssl_cafile: str | None = None
    replication_factor: int = Field(default=-1, ge=-1)
    """For topics that Kaption creates; -1 takes the broker's default."""

    def client_config(self) -> dict[str, object]:
        """Keyword arguments that every kafka-python client takes."""
        config: dict[str, object] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security_protocol,
        }
        optional = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.username,
            "sasl_plain_password": self.password.get_secret_value() if self.password else None,
            "ssl_cafile": self.ssl_cafile,
        }
        return config | {name: value for name, value in optional.items() if value is not None}


class RedisConnection(_Connection):
    """A Redis or Valkey server."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """redis://, rediss:// or unix://; the password may be in it, so it is shown hidden."""
    key_prefix: str = "kaption:"


class StoreConnection(_Connection):
    """The object store for blobs and shards."""

    url: str = "kaption-store"
    """A folder, or s3://bucket/prefix."""
    endpoint: str | None = None
    """For S3 servers other than AWS, for example http://127.0.0.1:8333."""
    region: str = "us-east-1"
    access_key: str | None = None
    """None: the usual AWS chain (environment, profile, instance role)."""
    secret_key: SecretStr | None = None
