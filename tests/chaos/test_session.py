"""The session answers right where kafka-python does not: when the broker is slow."""

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaTimeoutError

from faults import Direction, FaultProxy
from kaption.connections.kafka.messages import Partition
from kaption.schemas.topics import RAW
from kaption.workers.runtime.session import Session
from support.engine import POLICY, Stream, until
from tools.servers import ApacheKafka

pytestmark = pytest.mark.chaos


def test_a_late_answer_is_not_given_to_a_later_call(
    own_kafka: ApacheKafka, topic_prefix: str
) -> None:
    with FaultProxy(own_kafka.proxied_port, own_kafka.proxy_port) as proxy:
        # Given a member whose request for committed offsets was answered after its deadline
        stream = Stream(own_kafka.bootstrap, topic_prefix)
        behind = stream.connection.model_copy(update={"bootstrap": own_kafka.proxy_bootstrap})
        topic = topic_prefix + RAW.name
        session = Session(behind, "late", [topic], "late", POLICY)
        try:
            assert until(lambda: session.poll(0.1, 1) is not None and not session.joining)
            partition = Partition(topic, 0)
            assert session.committed([partition], 10) == {partition: None}
            proxy.freeze(Direction.ANSWERS)
            with pytest.raises(KafkaTimeoutError, match="no stable offset"):
                session.committed([partition], 1)
            proxy.restore()
            # When an offset is committed after that
            session.consumer.commit({TopicPartition(*partition): OffsetAndMetadata(5, "", -1)})
            # Then it is what is read
            assert session.committed([partition], 10) == {partition: 5}
        finally:
            session.close(5.0)
