import uuid
from collections.abc import Iterator

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.workers.local import Valkey
from support.deployment import Deployment
from support.engine import Stream
from support.parts import S3Bucket, serving
from support.publishing import with_topic
from tools.servers import ApacheKafka, SeaweedFs


@pytest.fixture
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    """Give a `pairs.raw` of the test's own; on Tansu, unless parametrized with another broker."""
    server = request.getfixturevalue(getattr(request, "param", "tansu"))
    return with_topic(server.bootstrap, topic_prefix)


@pytest.fixture
def kafka(apache_kafka: ApacheKafka, topic_prefix: str) -> KafkaConnection:
    """Give Apache Kafka, with topic names of the test's own and no topics yet."""
    return KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)


@pytest.fixture
def stream(apache_kafka: ApacheKafka, topic_prefix: str) -> Stream:
    """Give the topics of a toy stage on Apache Kafka."""
    return Stream(apache_kafka.bootstrap, topic_prefix)


@pytest.fixture(scope="module")
def redis() -> Iterator[Valkey]:
    """Give a Valkey that the tests of a file may kill, freeze and fill."""
    with serving(Valkey()) as server:
        yield server


@pytest.fixture
def ingest(ingest_of_file: Deployment) -> Deployment:
    """Give a worker of ingest that reads ahead little. A test may stop it."""
    if ingest_of_file.worker.ended is not None:
        ingest_of_file.start()
    return ingest_of_file


@pytest.fixture(scope="module")
def ingest_of_file(
    apache_kafka: ApacheKafka,
    seaweedfs: SeaweedFs,
    redis: Valkey,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """The worker that the tests of a file share: a worker of one test alone takes long to start."""
    kafka = KafkaConnection(
        bootstrap=apache_kafka.bootstrap, topic_prefix=f"alerts-{uuid.uuid4().hex[:8]}-"
    )
    folder = tmp_path_factory.mktemp("alerts")
    made = Deployment(kafka, redis.url, S3Bucket.on(seaweedfs), folder, "ingest")
    made.settings |= {
        "KAPTION_INGEST__BATCH_RECORDS": "2",
        "KAPTION_RUNTIME__PREPARE_THREADS": "2",
        # Records that wait for a slow site are read ahead by the thousand otherwise.
        "KAPTION_RUNTIME__PREFETCH_BYTES": "8000",
        "KAPTION_RUNTIME__SESSION_TIMEOUT_S": "20",
        "KAPTION_SINK__SHARD_BYTES": str(2**20),  # as large as what doctor uploads
    }
    made.does("kaption topics create")
    made.start()
    yield made
    made.stop()
