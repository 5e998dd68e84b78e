"""`kaption topics acls`: the printed rights are enough, and no more than that."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.errors import TopicAuthorizationFailedError
from pydantic import SecretStr
from typer.testing import CliRunner

from kaption.connections.errors import Fatal
from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.consumers import TopicReader
from kaption.producers import Publisher
from kaption.schemas import CleanPair
from kaption.schemas.topics import CLEAN, RAW, REJECTED, SCORED
from kaption.workers.cli.app import app
from kaption.workers.demo.crawl import Crawl
from kaption.workers.demo.site import Site
from kaption.workers.runtime.pipeline import Pipeline
from kaption.workers.runtime.worker import Worker
from kaption.workers.settings import Settings
from kaption.workers.wiring import STAGES, build_worker
from support.engine import POLICY, Toy, until
from support.secure_kafka import SecureKafka
from support.topics import environment

pytestmark = pytest.mark.integration
Kaption = Callable[..., str]


@pytest.fixture
def kaption(
    secure_kafka: SecureKafka,
    topic_prefix: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Kaption:
    """Give the command as one of the users; it returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: str, exit_code: int = 0) -> str:
        kafka = secure_kafka.scram(name, topic_prefix=topic_prefix)
        assert kafka.password is not None
        settings = {
            **environment(kafka),
            "KAPTION_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "KAPTION_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "KAPTION_KAFKA__USERNAME": str(kafka.username),
            "KAPTION_KAFKA__PASSWORD": kafka.password.get_secret_value(),
            "KAPTION_KAFKA__CA_FILE": str(kafka.ca_file),
            "KAPTION_REDIS__URL": redis_url,
            "KAPTION_STORE__URL": str(tmp_path / "store"),
        }
        done = CliRunner().invoke(app, arguments, env=settings, catch_exceptions=False)
        assert done.exit_code == exit_code, (arguments, done.output)
        return done.stdout

    return run


@pytest.fixture
def granted(secure_kafka: SecureKafka, kaption: Kaption) -> None:
    """Exactly what is printed, and topics made by the user who may."""
    secure_kafka.apply(kaption("topics", "topics", "acls", "--format", "commands"))
    kaption("topics", "topics", "create")


@pytest.mark.usefixtures("granted")
def test_each_stage_works_as_its_own_user(
    secure_kafka: SecureKafka, kaption: Kaption, topic_prefix: str, redis_url: str, tmp_path: Path
) -> None:
    # Given a worker of each stage, and a crawler, each with its own user
    def kafka(name: str) -> KafkaConnection:
        return secure_kafka.scram(name, topic_prefix=topic_prefix)

    shared = Settings(
        models="demo",
        redis=RedisConnection(url=SecretStr(redis_url)),
        store=StoreConnection(url=str(tmp_path / "store")),
        **_IMPATIENT,
    )
    workers = {
        name: build_worker(name, shared.model_copy(update={"kafka": kafka(name)}))
        for name in STAGES
    }
    crawl = Crawl(seed=5, count=20)
    # When pairs are published
    with Site(crawl.pages) as site, _running(workers):
        with Publisher(kafka("publish")) as publisher:
            for record in itertools.islice(crawl.records(site.url), 20):
                publisher.publish(record)
        # Then clean ones come out, for one who may read them,
        assert until(lambda: _clean(kafka("consume")) > 0, 200)
    # and the commands work as well, each as the user that is meant for it
    (tmp_path / "pairs.in.jsonl").write_text('{"image": "http://a.invalid/a.jpg", "text": "a"}')
    for name, *arguments in _COMMANDS:
        kaption(name, *arguments)


_IMPATIENT: dict[str, Any] = {
    "ingest": {"fetch": {"allow_networks": ["127.0.0.0/8"]}, "batch_records": 4},
    "sink": {"shard_age_s": 2.0},
}
_COMMANDS = (
    ("status", "status", "--interval", "0.1"),
    ("status", "report", "--to", "report.html"),
    ("status", "topics", "check"),
    ("ingest", "doctor", "--no-models", "--stage", "ingest"),
    ("sink", "doctor", "--no-models", "--stage", "sink"),
    ("topics", "topics", "create", "--alter"),
    ("produce", "produce", "pairs.in.jsonl"),
    ("replay", "replay", "rejected", "--yes"),
    ("consume", "consume", "pairs.jsonl"),
    ("takedown", "takedown", "--yes", "127.0.0.1", "--kind", "domain"),
)


@contextmanager
def _running(workers: dict[str, Worker]) -> Iterator[None]:
    pipeline = Pipeline(workers)
    pipeline.start()
    try:
        yield
        assert not pipeline.failed.is_set()
    finally:
        pipeline.stop()
        pipeline.join()


def _clean(kafka: KafkaConnection) -> int:
    with TopicReader(kafka, [CLEAN]) as reader:
        return sum(isinstance(read.record, CleanPair) for read in reader)


@pytest.mark.usefixtures("granted")
@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_may_write_to_its_own_outputs_only(
    secure_kafka: SecureKafka, topic_prefix: str, stage: str
) -> None:
    # Given the rights of one stage
    (source,) = STAGES[stage]
    producer = KafkaProducer(
        **client_config(secure_kafka.scram(stage)),
        enable_idempotence=False,  # an idempotent one is of no use after a refusal
        max_block_ms=10_000,
    )
    try:
        # When it writes to what it reads, or to what another stage reads, then it is refused
        for topic in {source, SCORED if stage == "ingest" else RAW}:
            with pytest.raises(TopicAuthorizationFailedError):
                producer.send(topic_prefix + topic.name, b"x").get(timeout=30)
        # though not where its refusals go
        producer.send(topic_prefix + REJECTED.name, b"x").get(timeout=30)
    finally:
        producer.close(timeout=5)


@pytest.mark.usefixtures("granted")
def test_a_worker_names_every_right_that_is_missing(
    secure_kafka: SecureKafka, kaption: Kaption, topic_prefix: str
) -> None:
    # Given a user with some of the rights of ingest
    printed = kaption("topics", *_acls_of_other("ingest"))
    secure_kafka.apply("".join(line for line in printed.splitlines(True) if "dead" not in line))
    # When a worker of another group starts
    worker = Worker(Toy(), secure_kafka.scram("other", topic_prefix=topic_prefix), POLICY)
    # Then it ends at once and tells them all
    with pytest.raises(Fatal) as raised:
        worker.run()
    assert str(raised.value).startswith(
        f"the broker does not let User:kaption-other write topic {topic_prefix}pairs.dead, "
        f"read group {topic_prefix}toy, write transactional-id {topic_prefix}toy-"
    )
    assert "`kaption topics acls` prints the list" in str(raised.value)
    # And the doctor tells what a stage's worker would miss, asked for it or not
    wrong = kaption("other", "doctor", "--no-models", "--stage", "ingest", exit_code=1)
    assert "wrong  rights: ingest: the broker does not let User:kaption-other write topic" in wrong
    assert f"write topic {topic_prefix}pairs.dead" in wrong
    assert "kafka.username (KAPTION_KAFKA__USERNAME)" in wrong
    told = kaption("other", "doctor", "--no-models", exit_code=1)
    assert (
        "rights: granted for the stages none; missing for ingest: the broker does not let" in told
    )


@pytest.fixture
def at_work(
    secure_kafka: SecureKafka,
    kaption: Kaption,
    topic_prefix: str,
    granted: None,
    request: pytest.FixtureRequest,
) -> Iterator[Future[None]]:
    """A worker with all its rights, which waits `param` s for what is lost; how it ends."""
    commands = kaption("topics", *_acls_of_other("ingest"))
    commands = commands.replace(f"group {topic_prefix}ingest", f"group {topic_prefix}toy")
    commands = commands.replace(f"{topic_prefix}ingest-", f"{topic_prefix}toy-")
    secure_kafka.apply(commands)
    policy = POLICY.model_copy(update={"rebuild_limit_s": request.param})
    worker = Worker(Toy(), secure_kafka.scram("other", topic_prefix=topic_prefix), policy)
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(worker.run)
        assert until(lambda: worker.not_ready() is None or ended.done(), 60), worker.not_ready()
        yield ended
        worker.stop()


@pytest.mark.parametrize("at_work", [3.0], indirect=True)
def test_a_worker_that_loses_a_right_stops_and_names_it(
    secure_kafka: SecureKafka, at_work: Future[None]
) -> None:
    # When the rights of a worker are taken away
    secure_kafka.revoke("User:kaption-other")
    # Then it stops with the error that names one
    error = at_work.exception(timeout=90)
    assert isinstance(error, Fatal)
    assert "does not let User:kaption-other" in str(error)


@pytest.mark.parametrize("at_work", [200.0], indirect=True)
def test_a_worker_whose_password_is_changed_stops_and_says_so(
    secure_kafka: SecureKafka, at_work: Future[None]
) -> None:
    # When the broker has another password for a worker's user, and it has to log in again
    with secure_kafka.other_password("kaption-other"):
        secure_kafka.server.restart()
        # Then it stops and names the setting
        error = at_work.exception(timeout=120)
    assert isinstance(error, Fatal)
    assert "kafka.password (KAPTION_KAFKA__PASSWORD) is refused" in str(error)


def _acls_of_other(role: str) -> list[str]:
    return ["topics", "acls", role, "--principal", "User:kaption-other", "--format", "commands"]
