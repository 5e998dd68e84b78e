import pytest

from kaption.connections.settings import KafkaConnection
from support.engine import Stream
from support.publishing import with_topic
from tools.servers import ApacheKafka


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
