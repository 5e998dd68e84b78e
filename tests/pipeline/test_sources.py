"""`kaption sources --rejected` on a broker: each rejection is counted once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.settings import KafkaConnection
from kaption.objectstore.folder import FolderStore
from kaption.schemas import OptOutSignal, Reason, RejectedPair, encode, headers_of
from kaption.schemas.topics import REJECTED
from kaption.testing.records import raw_pair
from kaption.workers.local import Tansu
from kaption.workers.origin.refusals import count_refusals, known_refusals, store_refusals
from support.topics import with_topics

pytestmark = pytest.mark.slow
NOW = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def kafka(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return with_topics(tansu.bootstrap, topic_prefix)


def reject(kafka: KafkaConnection, reason: Reason, detail: str, *signals: str) -> None:
    pair = raw_pair(0).model_copy(
        update={"opt_out": tuple(OptOutSignal(kind=kind) for kind in signals)}
    )
    rejected = RejectedPair(
        pair_id=pair.pair_id, stage="ingest", reason=reason, detail=detail, rejected_at=NOW,
        record_schema="RawPair/1", record=pair.model_dump(mode="json"),
    )  # fmt: skip
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    topic = REJECTED.prefixed(kafka.topic_prefix).name
    producer.send(topic, encode(rejected), headers=headers_of(rejected))
    producer.close()


def test_rejections_are_added_up_from_where_they_were_left(
    kafka: KafkaConnection, tmp_path: Path
) -> None:
    # Given opt-outs of the page's and of an answer's, a value with commas, and another reason
    objects = FolderStore(tmp_path)
    reject(kafka, Reason.OPTED_OUT, "robots_meta noai, noimageai", "robots_meta", "tdm_reservation")
    reject(kafka, Reason.OPTED_OUT, "x_robots_tag noai, noindex at https://a.example/1.jpg")
    reject(kafka, Reason.DUPLICATE, "robots_meta is no signal here")

    # When they are counted, and once more after another one
    store_refusals(objects, "dataset", count_refusals(kafka, None, NOW))
    reject(kafka, Reason.OPTED_OUT, "x_robots_tag noai")
    first = known_refusals(objects, "dataset")
    second = count_refusals(kafka, first, NOW)

    # Then none is counted twice
    assert first is not None
    assert first.reasons == {"ingest.opted_out": 2, "ingest.duplicate": 1}
    assert first.opt_outs == {"robots_meta": 1, "x_robots_tag": 1}
    assert second.reasons == {"ingest.opted_out": 3, "ingest.duplicate": 1}
    assert second.opt_outs == {"robots_meta": 1, "x_robots_tag": 2}
    assert count_refusals(kafka, second, NOW).reasons == second.reasons


def test_a_topic_that_was_made_again_is_read_from_its_start(kafka: KafkaConnection) -> None:
    # Given counters of an earlier topic of this name
    reject(kafka, Reason.DUPLICATE, "")
    known = count_refusals(kafka, None, NOW)
    earlier = known.model_copy(
        update={
            "until": tuple(
                each.model_copy(update={"topic_id": "A" * 22, "offset": 500})
                for each in known.until
            )
        }
    )

    # Then
    assert count_refusals(kafka, earlier, NOW).reasons == {"ingest.duplicate": 2}
