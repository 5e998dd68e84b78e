"""No secret in anything that a run writes: logs, metrics, probes, errors, what commands print.

Records themselves are data: a dead letter keeps its original bytes, a pair its address.
"""

import base64
import itertools
import json
import logging
import subprocess
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from kafka import KafkaProducer
from pydantic import SecretStr

from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.producers import Publisher, PublishError
from kaption.schemas import DeadLetter, RejectedPair
from kaption.schemas.topics import DEAD, RAW, REJECTED
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.site import Site
from kaption.workers.local import Valkey
from kaption.workers.local.server import free_ports
from support.certificates import Authority
from support.engine import until
from support.fault_proxy import FaultProxy
from support.parts import S3Bucket, serving
from support.program import kaption
from support.replicas import Replica
from support.secure_kafka import SecureKafka, unsecured_token
from support.token_endpoint import TokenEndpoint
from support.topics import environment
from support.web import get
from tools.servers import SeaweedFs

pytestmark = pytest.mark.integration

REDIS_PASSWORD = "planted/redis%pass"
PAGE_USER, PAGE_PASSWORD, SIGNATURE = "planteduser", "plantedpagepass", "plantedsignature"
WRONG = "plantedwrongsecret"


@dataclass
class Planted:
    """Settings with secrets in them, and everything that programs with these settings wrote."""

    settings: Mapping[str, str]
    secrets: tuple[str, ...]
    folder: Path
    written: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run a command and keep its output."""
        done = kaption(*arguments, settings={**self.settings, **changed}, cwd=self.folder)
        self.written[f"{arguments} {sorted(changed)}"] = done.stdout + done.stderr
        return done

    def leaks(self) -> list[str]:
        """Find secrets in the output, in every form in which programs write them."""
        return [
            f"{secret!r} in {name}"
            for name, text in self.written.items()
            for secret in self.secrets
            for form in _forms(secret)
            if form in text
        ]


def _forms(secret: str) -> set[str]:
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, urllib.parse.quote(secret, safe=""), repr(secret)[1:-1], coded}


@pytest.fixture(scope="module")
def planted(
    secure_kafka: SecureKafka,
    authority: Authority,
    valkey: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Planted]:
    """Give settings for servers that all need a secret, and topics on them."""
    folder = tmp_path_factory.mktemp("planted")
    certificate = authority.server()
    kafka = secure_kafka.scram("other", topic_prefix="planted.")
    assert kafka.password is not None
    with (
        serving(SeaweedFs(certificate=certificate.certificate, key=certificate.key)) as store,
        FaultProxy(valkey.ports[0], tls=certificate.server_context()) as front,
        redis.Redis.from_url(valkey.url) as admin,
    ):
        bucket = S3Bucket.on(store, str(authority.file))
        admin.execute_command(
            "ACL", "SETUSER", "planted", "reset", "on", f">{REDIS_PASSWORD}", "~*", "+@all"
        )
        settings = {
            **environment(kafka),
            "KAPTION_KAFKA__SECURITY_PROTOCOL": kafka.security_protocol,
            "KAPTION_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAPTION_KAFKA__USERNAME": "kaption-other",
            "KAPTION_KAFKA__PASSWORD": kafka.password.get_secret_value(),
            "KAPTION_KAFKA__CA_FILE": str(authority.file),
            "KAPTION_REDIS__URL": f"rediss://{front.address}/0",
            "KAPTION_REDIS__USERNAME": "planted",
            "KAPTION_REDIS__PASSWORD": REDIS_PASSWORD,
            "KAPTION_REDIS__CA_FILE": str(authority.file),
            "KAPTION_REDIS__KEY_PREFIX": "planted:",
            "KAPTION_STORE__URL": f"s3://{bucket.name}",
            "KAPTION_STORE__ENDPOINT": store.endpoint,
            "KAPTION_STORE__ACCESS_KEY": store.access_key,
            "KAPTION_STORE__SECRET_KEY": store.secret_key,
            "KAPTION_STORE__CA_FILE": str(authority.file),
            "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "KAPTION_INGEST__BATCH_RECORDS": "4",
            "KAPTION_HEALTH__HOST": "127.0.0.1",
            "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "6",
        }
        secrets = (
            settings["KAPTION_KAFKA__PASSWORD"],
            REDIS_PASSWORD,
            store.secret_key,
            PAGE_PASSWORD,
            SIGNATURE,
            WRONG,
        )
        found = Planted(settings, secrets, folder)
        principal = ("--principal", "User:kaption-other")
        acls = found.run("topics", "acls", *principal, "--format", "commands")
        secure_kafka.apply(acls.stdout)
        created = found.run("topics", "create")
        assert created.returncode == 0, created.stderr
        yield found


def test_a_run_prints_no_secret(
    planted: Planted, secure_kafka: SecureKafka, tmp_path: Path
) -> None:
    # Given workers of all stages, on servers that need secrets
    (port,) = free_ports(1)
    settings = {
        **planted.settings,
        "KAPTION_HEALTH__PORT": str(port),
        "KAPTION_SINK__SPOOL": str(tmp_path),
    }
    replica = Replica("all", 0, settings, tmp_path)
    replica.start()
    kafka = secure_kafka.scram("other", topic_prefix="planted.")
    crawl = Crawl(seed=5, count=10)
    try:
        assert until(lambda: get(port, "/readyz")[0] == 200 or replica.ended is not None, 200)
        # When they process pages: some ordinary, some with a password, signed, broken or missing
        with Site(crawl.pages) as site, Publisher(kafka) as publisher:
            for record in itertools.islice(crawl.records(site.url), 10):
                publisher.publish(record)
            private = site.url.replace("http://", f"http://{PAGE_USER}:{PAGE_PASSWORD}@")
            for address in (private, "http://nowhere.invalid", "http://127.0.0.1:1", site.url):
                publisher.publish(
                    image=f"{address}/away.jpg?X-Amz-Signature={SIGNATURE}", text="my picture"
                )
            publisher.publish(image=b"no picture", text="my picture")
            publisher.flush()
            _send_raw(kafka, b"{no record")
            assert until(lambda: len(_refusals(kafka)) >= 5, 200), replica.log.read_text()[-4000:]
        for path in ("/metrics", "/readyz", "/healthz"):
            planted.written[path] = get(port, path)[1]
        # and commands inspect the pipeline
        for command in (("status",), ("doctor", "--no-models"), ("settings",), ("topics", "check")):
            assert planted.run(*command).returncode == 0, planted.written
    finally:
        code = replica.stop()
    planted.written["work all"] = replica.log.read_text()
    planted.written["refusals"] = "\n".join(_refusals(kafka))
    # Then they wrote something, and no secret is in it
    assert code == 0, planted.written["work all"][-4000:]
    assert "kaption_outcomes_total" in planted.written["/metrics"]
    assert planted.leaks() == []


def _send_raw(kafka: KafkaConnection, value: bytes) -> None:
    producer = KafkaProducer(**client_config(kafka))
    producer.send(kafka.topic_prefix + RAW.name, value)
    producer.close(timeout=10)


def _refusals(kafka: KafkaConnection) -> list[str]:
    """The texts of rejections and dead letters, without their records."""
    with TopicReader(kafka, [REJECTED, DEAD]) as reader:
        return [_said(read.record) for read in reader]


def _said(record: object) -> str:
    assert isinstance(record, RejectedPair | DeadLetter)
    fields = {"record"} if isinstance(record, RejectedPair) else {"value", "key", "headers"}
    return json.dumps(record.model_dump(mode="json", exclude=fields))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"KAPTION_KAFKA__PASSWORD": WRONG}, "kafka.password (KAPTION_KAFKA__PASSWORD)"),
        ({"KAPTION_REDIS__PASSWORD": WRONG}, "redis.password (KAPTION_REDIS__PASSWORD)"),
        ({"KAPTION_STORE__SECRET_KEY": WRONG}, "store.secret_key (KAPTION_STORE__SECRET_KEY)"),
        ({"KAPTION_KAFKA__CA_FILE": "/nowhere.pem"}, "kafka.ca_file (KAPTION_KAFKA__CA_FILE)"),
        ({"KAPTION_KAFKA__CA_FILE": ""}, "kafka.ca_file (KAPTION_KAFKA__CA_FILE)"),
        ({"KAPTION_REDIS__CA_FILE": ""}, "redis.ca_file (KAPTION_REDIS__CA_FILE)"),
        ({"KAPTION_STORE__CA_FILE": ""}, "store.ca_file (KAPTION_STORE__CA_FILE)"),
        (
            {
                "KAPTION_REDIS__URL": f"redis://:{WRONG}/2@127.0.0.1:6379",
                "KAPTION_REDIS__CA_FILE": "",
            },
            "redis.url (KAPTION_REDIS__URL)",
        ),
    ],
)
def test_a_refused_log_in_is_one_error_without_the_secret(
    planted: Planted, changed: dict[str, str], expected: str
) -> None:
    # Given one wrong setting, or an unknown authority
    said = _both_refuse(planted, changed, expected)
    assert said.count("\n") == 1


def test_errors_name_an_expired_certificate_and_missing_rights(
    planted: Planted, secure_kafka: SecureKafka
) -> None:
    expired = {"KAPTION_KAFKA__BOOTSTRAP": secure_kafka.server.address("EXPIRED")}
    _both_refuse(planted, expired, "kafka.bootstrap (KAPTION_KAFKA__BOOTSTRAP)")
    nobody = secure_kafka.scram("status")
    assert nobody.password is not None
    user = {
        "KAPTION_KAFKA__USERNAME": str(nobody.username),
        "KAPTION_KAFKA__PASSWORD": nobody.password.get_secret_value(),
    }
    _both_refuse(planted, user, "kafka.username (KAPTION_KAFKA__USERNAME)")


def _both_refuse(planted: Planted, changed: dict[str, str], expected: str) -> str:
    """The output of the worker; its last line is the error."""
    # When a worker starts, and when doctor checks
    work = planted.run("work", "ingest", **changed)
    doctor = planted.run("doctor", "--no-models", **changed)
    # Then both report the same in one line, without a secret
    assert work.returncode == 1
    assert work.stderr.splitlines()[-1].startswith("kaption: ")
    assert doctor.returncode == 1
    assert expected in work.stderr
    assert expected in doctor.stdout
    assert doctor.stderr == ""
    assert "Traceback" not in work.stderr + doctor.stdout
    assert planted.leaks() == []
    return work.stderr


def test_missing_servers_reveal_no_secret(planted: Planted) -> None:
    away = {
        "KAPTION_KAFKA__BOOTSTRAP": "127.0.0.1:1",
        "KAPTION_REDIS__URL": "rediss://127.0.0.1:1/0",
        "KAPTION_STORE__ENDPOINT": "https://127.0.0.1:1",
        "KAPTION_RUNTIME__REBUILD_LIMIT_S": "1",
        "KAPTION_RUNTIME__REQUEST_TIMEOUT_S": "2",
    }
    assert planted.run("work", "ingest", **away).returncode == 1
    assert planted.run("doctor", "--no-models", **away).returncode == 1
    assert planted.leaks() == []


def test_libraries_log_no_secret_at_level_debug(
    secure_kafka: SecureKafka, caplog: pytest.LogCaptureFixture
) -> None:
    # Given the process of a crawler that logs at level DEBUG
    caplog.set_level(logging.DEBUG)
    secret, token = "planted-client-secret", unsecured_token("kaption-nobody")
    with TokenEndpoint(lambda: token, client=("kaption", secret)) as endpoint:
        tokens = secure_kafka.tokens(
            oauth_token_url=endpoint.url,
            oauth_client_id="kaption",
            oauth_client_secret=SecretStr(secret),
        )
        # When it logs in with a password and a token
        password = secure_kafka.scram("other")
        for connection in (password, tokens):
            with pytest.raises((PublishError, TopicError)):
                Publisher(connection, topic=DEAD).close()
            TopicAdmin(connection).close()
    # Then neither is in the log
    assert password.password is not None
    assert "KafkaAdminClient" in caplog.text
    for planted in (secret, token, password.password.get_secret_value()):
        assert planted not in caplog.text
