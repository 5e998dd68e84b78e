"""Replicas that come and go all the time, on Apache Kafka."""

import random
import time

import pytest

from support.engine import Running, Stream, Toy, until
from tools.servers import ApacheKafka

pytestmark = pytest.mark.chaos

_REPLICAS = 3


@pytest.mark.parametrize("seed", range(3))
def test_replicas_that_come_and_go_give_one_outcome_each(
    apache_kafka: ApacheKafka, topic_prefix: str, seed: int
) -> None:
    # Given records that keep coming
    choose = random.Random(seed)
    stream = Stream(apache_kafka.bootstrap, topic_prefix)
    stream.produce(["text"] * 300)
    ever = [Running(Toy(seconds=0.05), stream.connection)]
    here = list(ever)
    try:
        # When replicas join and leave at random moments, most of them inside a rebalance
        for _ in range(8):
            time.sleep(choose.uniform(0.2, 4.0))
            if len(here) < 2 or (len(here) < _REPLICAS and choose.random() < 0.5):
                here.append(Running(Toy(seconds=0.05), stream.connection))
                ever.append(here[-1])
            else:
                here.pop(choose.randrange(len(here))).stop()
            stream.produce(["more"] * 120)
        assert until(lambda: sum(one.records for one in ever) >= stream.produced, 120)
    finally:
        for one in here:
            one.stop()
    # Then each input offset has exactly one outcome
    assert stream.outcomes() == stream.expected()
    assert [one.error for one in ever if one.error] == []
