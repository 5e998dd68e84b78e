"""Apache Kafka as a platform team runs it: TLS, SASL and ACLs, one listener for each way in."""

import base64
import json
import secrets
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection
from kaption.workers.cli.acls import grants
from support.certificates import Authority, Certificate
from support.engine import until
from support.parts import cache_folder
from tools.servers import ApacheKafka, Listener

_MODULES = "org.apache.kafka.common.security"


class SecureKafka:
    """The broker, and connections to it; whoever is not named in `server.bootstrap` needs rights.

    Listeners: SCRAM, EXPIRED (the same with an expired certificate), MUTUAL (client certificates)
    and TOKENS (OAUTHBEARER, unsecured JWS as is Kafka's own default).
    """

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        server = authority.server()
        scram = {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "scram-sha-512.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
        }
        tokens = {
            "sasl.enabled.mechanisms": "OAUTHBEARER",
            "oauthbearer.sasl.jaas.config": (
                f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required "
                'unsecuredLoginStringClaim_sub="broker";'
            ),
        }
        mutual = {
            "ssl.client.auth": "required",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.file),
        }
        expired = _keystore(authority.server(expired=True))
        self.passwords = {
            f"kaption-{name}": secrets.token_urlsafe(12) for name in (*grants(""), "other")
        }
        self.server = ApacheKafka(
            cache=cache_folder(),
            listeners=[
                Listener("SCRAM", "SASL_SSL", _keystore(server) | scram),
                Listener("EXPIRED", "SASL_SSL", expired | scram),
                Listener("TOKENS", "SASL_SSL", _keystore(server) | tokens),
                Listener("MUTUAL", "SSL", _keystore(server) | mutual),
            ],
            scram_users=self.passwords,
            acls=True,
        )

    @property
    def admin(self) -> KafkaConnection:
        """Of one who may do all."""
        return KafkaConnection(bootstrap=self.server.bootstrap)

    def scram(self, name: str, **changed: Any) -> KafkaConnection:
        """As ``kaption-NAME``, with parts of the connection changed."""
        user = f"kaption-{name}"
        given: dict[str, Any] = {
            "bootstrap": self.server.address("SCRAM"),
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "username": user,
            "password": SecretStr(self.passwords[user]),
            "ca_file": str(self.authority.file),
        }
        return KafkaConnection(**given | changed)

    def tokens(self, **source: Any) -> KafkaConnection:
        """By OAUTHBEARER, with tokens from `source`."""
        return KafkaConnection(
            bootstrap=self.server.address("TOKENS"),
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            ca_file=str(self.authority.file),
            **source,
        )

    def mutual(self, certificate: Certificate | None, **changed: Any) -> KafkaConnection:
        """By a certificate, or without the one that the broker wants."""
        files: dict[str, Any] = (
            {"certificate_file": str(certificate.certificate), "key_file": str(certificate.key)}
            if certificate
            else {}
        )
        return KafkaConnection(
            bootstrap=self.server.address("MUTUAL"),
            security_protocol="SSL",
            ca_file=str(self.authority.file),
            **files,
            **changed,
        )

    def apply(self, commands: str) -> None:
        """Do what lines with kafka-acls.sh, as `kaption topics acls` prints them, would do."""
        wanted = [acl for line in commands.splitlines() for acl in _acls(line)]
        client = KafkaAdminClient(**client_config(self.admin))
        try:
            assert client.create_acls(wanted)["failed"] == []
            # The controller has them; the broker follows in a moment.
            assert until(lambda: {*wanted} <= {*client.describe_acls(_of(None))[0]}, 30)
        finally:
            client.close()

    def revoke(self, principal: str) -> None:
        """Take every right away."""
        client = KafkaAdminClient(**client_config(self.admin))
        try:
            client.delete_acls([_of(principal)])
        finally:
            client.close()

    @contextmanager
    def other_password(self, user: str) -> Iterator[None]:
        """Change what the broker expects of a user, for a while."""
        self._set_password(user, secrets.token_urlsafe(12))
        try:
            yield
        finally:
            self._set_password(user, self.passwords[user])

    def _set_password(self, user: str, password: str) -> None:
        mechanism = ScramMechanism.SCRAM_SHA_512
        changed = UserScramCredentialUpsertion(user, mechanism, password.encode())
        client = KafkaAdminClient(**client_config(self.admin))
        try:
            client.alter_user_scram_credentials([changed])
        finally:
            client.close()


def unsecured_token(subject: str, life_s: float = 3600.0) -> str:
    """A JWS that claims to be of `subject`, without a signature."""
    now = int(time.time())
    parts = ({"alg": "none"}, {"sub": subject, "iat": now, "exp": int(now + life_s)})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*coded, b""]).decode()


def _of(principal: str | None) -> ACLFilter:
    """Every ACL of a user, or of all."""
    everything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(principal, None, ACLOperation.ANY, ACLPermissionType.ANY, everything)


def _keystore(certificate: Certificate) -> dict[str, str]:
    return {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(certificate.both)}


def _acls(line: str) -> list[ACL]:
    words = shlex.split(line)
    assert words[0] == "kafka-acls.sh"
    assert "--add" in words
    (kind,) = {"topic", "group", "transactional-id"} & {word.removeprefix("--") for word in words}
    pattern = words[words.index("--resource-pattern-type") + 1]
    resource = ResourcePattern(
        ResourceType[kind.replace("-", "_").upper()],
        words[words.index(f"--{kind}") + 1],
        ACLResourcePatternType[pattern.upper()],
    )
    return [
        ACL(
            words[words.index("--allow-principal") + 1],
            "*",
            _OPERATIONS[words[at + 1]],
            ACLPermissionType.ALLOW,
            resource,
        )
        for at, word in enumerate(words)
        if word == "--operation"
    ]


_OPERATIONS = {each.name.title().replace("_", ""): each for each in ACLOperation}
