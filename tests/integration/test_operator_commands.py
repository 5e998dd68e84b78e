"""Commands of the platform team on real servers: topics, doctor, produce, status."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, KafkaAdminClient

from kaption.schemas import TOPICS
from kaption.schemas.topics import RAW
from support import program
from support.parts import S3Bucket
from tools.servers import ApacheKafka

pytestmark = pytest.mark.integration
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kaption(apache_kafka: ApacheKafka, topic_prefix: str, redis_url: str, s3: S3Bucket) -> Command:
    """Give the command, with settings for the test's servers."""
    settings = {
        "KAPTION_KAFKA__BOOTSTRAP": apache_kafka.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
        "KAPTION_REDIS__URL": redis_url,
        **s3.environment,
    }

    def run(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return program.kaption(*arguments, settings=settings | changed)

    return run


def test_doctor_reports_each_problem_until_it_is_repaired(kaption: Command) -> None:
    # Given servers without topics
    before = kaption("doctor", "--no-models")
    assert before.returncode == 1
    assert "kaption topics create" in before.stdout
    # When the topics are created
    created = kaption("topics", "create")
    assert created.returncode == 0, created.stderr
    assert created.stdout.count("created ") == len(TOPICS)
    # Then doctor and check find nothing wrong
    after = kaption("doctor", "--no-models")
    assert after.returncode == 0, after.stdout
    assert kaption("topics", "check").returncode == 0
    assert "pairs.clean" in kaption("topics", "describe").stdout


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("KAPTION_REDIS__URL", "redis://127.0.0.1:1/0", "redis"),
        ("KAPTION_STORE__SECRET_KEY", "wrong", "store"),
    ],
)
def test_doctor_names_the_failed_check(kaption: Command, name: str, value: str, said: str) -> None:
    kaption("topics", "create")
    ended = kaption("doctor", "--no-models", **{name: value})
    assert ended.returncode == 1
    assert re.search(rf"wrong +{said}:", ended.stdout), ended.stdout
    assert "Traceback" not in ended.stderr


def test_a_missing_broker_is_reported_in_one_line(kaption: Command) -> None:
    ended = kaption("topics", "check", KAPTION_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert ended.returncode == 1
    assert "127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_refuses_to_start_with_wrong_topics(
    kaption: Command, apache_kafka: ApacheKafka, topic_prefix: str
) -> None:
    # Given no topics, and later one whose message limit is below the contract's
    missing = kaption("work", "ingest")
    kaption("topics", "create")
    admin = KafkaAdminClient(bootstrap_servers=apache_kafka.bootstrap)
    limit = {"max.message.bytes": "20000"}
    admin.alter_configs([ConfigResource("TOPIC", topic_prefix + "pairs.ingested", limit)])
    admin.close()
    # When a worker is started
    narrow = kaption("work", "ingest")
    # Then it exits at once and says what to do
    assert missing.returncode == narrow.returncode == 1
    assert "kaption topics create" in missing.stderr
    assert "pairs.ingested: max.message.bytes is 20000" in narrow.stderr
    assert "pairs.raw" not in narrow.stderr


def test_status_counts_records_and_no_markers_of_transactions(
    kaption: Command, apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path
) -> None:
    # Given topics, and a file with two pairs and a line that is no pair
    kaption("topics", "create")
    pair = {"image": "http://example.org/a.jpg", "text": "a"}
    lines = [json.dumps(pair), json.dumps(pair | {"text": "b"}), "no json"]
    source = tmp_path / "pairs.jsonl"
    source.write_text("\n".join(lines))
    # When the file is published
    ended = kaption("produce", str(source))
    # Then all lines are in pairs.raw and the bad one is reported. Ingest lags by three records,
    # although the marker of the commit takes an offset in each of their partitions.
    assert ended.returncode == 0, ended.stderr
    assert "3 records published, 1 of them unreadable" in ended.stdout
    assert "pairs.jsonl:3" in ended.stderr
    status = kaption("status", "--interval", "0.1")
    assert re.search(r"ingest +0 +3 +0\.0", status.stdout), status.stdout + status.stderr
    # When ingest has done all, and its offsets are after the markers, then three records are done
    done = KafkaConsumer(bootstrap_servers=apache_kafka.bootstrap, group_id=topic_prefix + "ingest")
    name = topic_prefix + RAW.name
    places = [TopicPartition(name, each) for each in done.partitions_for_topic(name)]
    ends = done.end_offsets(places)
    done.assign(places)
    done.commit({place: OffsetAndMetadata(end, "", -1) for place, end in ends.items()})
    done.close()
    assert sum(ends.values()) > 3
    status = kaption("status", "--interval", "0.1")
    assert re.search(r"ingest +3 +0 +0\.0", status.stdout), status.stdout + status.stderr
