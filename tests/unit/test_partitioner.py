"""Records of a key go to the partition to which other producers send them."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.cluster import ClusterMetadata
from kafka.partitioner.default import DefaultPartitioner

from kaption.connections.kafka.partitioner import KeyPartitioner

LIBRARY, OURS = DefaultPartitioner(), KeyPartitioner()


class Counted(ClusterMetadata):  # type: ignore[misc]  # kafka-python is untyped
    """A cluster with one topic; counts the looks at its partitions."""

    def __init__(self, partitions: int, away: int = -1) -> None:
        super().__init__(bootstrap_servers=["127.0.0.1:9092"])
        self.looks = 0
        self._partitions = {
            "topic": {
                number: SimpleNamespace(leader_id=-1 if number == away else 1)
                for number in range(partitions)
            }
        }

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        self.looks += 1
        found: set[int] | None = super().partitions_for_topic(topic)
        return found

    def available_partitions_for_topic(self, topic: str) -> set[int] | None:
        self.looks += 1
        found: set[int] | None = super().available_partitions_for_topic(topic)
        return found


@given(st.binary(max_size=70), st.integers(1, 300))
def test_a_key_goes_where_kafka_python_sends_it(key: bytes, partitions: int) -> None:
    cluster = Counted(partitions, away=0)
    expected = LIBRARY.partition("topic", key, key, b"", b"", cluster)
    cluster.looks = 0

    assert OURS.partition("topic", key, key, b"", b"", cluster) == expected
    assert cluster.looks == 1


# Utils.murmur2 of Kafka, from UtilsTest.testMurmur2.
@pytest.mark.parametrize(
    ("key", "found"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_goes_where_java_sends_it(key: bytes, found: int) -> None:
    chosen = OURS.partition("topic", key, key, b"", b"", Counted(4096))

    assert chosen == (found & 0x7FFFFFFF) % 4096


def test_a_record_without_key_goes_to_a_partition_that_has_a_leader() -> None:
    cluster = Counted(2, away=1)

    assert {OURS.partition("topic", None, None, b"", b"", cluster) for _ in range(40)} == {0}


def test_an_unknown_topic_is_refused() -> None:
    with pytest.raises(ValueError, match="not found"):
        OURS.partition("other", b"key", b"key", b"", b"", Counted(2))
