"""Checks Kafka, shards and Redis after a run, with plain clients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import redis
from kafka import KafkaConsumer, TopicPartition

from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.schemas import DeadLetter, Reason, RejectedPair, decode
from kaption.schemas.topics import CAPTIONED, CLEAN, DEAD, INGESTED, RAW, REJECTED, SCORED
from kaption.workers.stores.near import LOOK_BYTES
from kaption.workers.stores.owners import Owners
from support.dataset_faults import chain_faults, object_faults


@dataclass(frozen=True)
class Found:
    """A committed message: its place, and the origin in its header (in pairs.raw its own place)."""

    place: str
    origin: str
    value: bytes


class Oracle:
    """Reads all topics when it is made. `faults` says what is wrong."""

    def __init__(self, bootstrap: str, prefix: str, objects: ObjectStore, dataset: str) -> None:
        self._prefix = prefix
        self._objects = objects
        self._dataset = dataset
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        names = (RAW, INGESTED, SCORED, CAPTIONED, CLEAN, REJECTED, DEAD)
        self.topics = {topic.name: list(self._read(prefix + topic.name)) for topic in names}
        self._consumer.close()

    @property
    def outcomes(self) -> Counter[str]:
        """How many final outcomes each origin has: clean, rejected or dead."""
        ended = Counter(found.origin for name in (CLEAN, REJECTED) for found in self._of(name.name))
        for found in self._of(DEAD.name):
            letter = decode(found.value, DeadLetter)
            headers = {header.key: header.value for header in letter.headers}
            origin = headers.get("kaption-origin")
            place = f"{letter.topic}/{letter.partition}/{letter.offset}"
            ended[_place(origin.decode()) if origin else place] += 1
        return ended

    def faults(self) -> list[str]:
        """Everything that is wrong with topics and shards; empty if all is right."""
        return [*self._delivery_faults(), *self._shard_faults()]

    def claim_faults(self, client: redis.Redis, key_prefix: str) -> list[str]:
        """Claims whose owner did not leave ingest: all copies of its image would be rejected."""
        ingested = {found.origin for found in self._of(INGESTED.name)}
        near_copies = {
            found.origin
            for found in self._of(REJECTED.name)
            if decode(found.value, RejectedPair).reason is Reason.NEAR_DUPLICATE
        }
        names = Owners(client, f"{{{key_prefix}}}topics")
        buckets = client.scan_iter(match=f"{{{key_prefix}}}exact:*", count=1000, _type="hash")
        exact = {
            _place(str(names.unpacked(owner)))
            for bucket in buckets
            for owner in cast("list[bytes]", client.hvals(bucket))
        }
        near = {
            _place(held[LOOK_BYTES:].decode())
            for block in client.scan_iter(match=f"{{{key_prefix}}}near3:look:*", count=1000)
            for held in cast("list[bytes]", client.hvals(block))
        }
        # The owner of a near-duplicate's bytes was rejected, because a near copy is kept already.
        faults = [f"{owner} owns bytes, not ingested" for owner in exact - ingested - near_copies]
        faults += [f"{owner} owns a hash, not ingested" for owner in near - ingested]
        return faults + [f"{origin} was ingested without a claim" for origin in ingested - exact]

    def _delivery_faults(self) -> Iterator[str]:
        raw = {found.place for found in self._of(RAW.name)}
        ended = self.outcomes
        for place in sorted(raw):
            if ended[place] != 1:
                seen = [name for name, found in self.topics.items() if place in origins_of(found)]
                yield f"{place} has {ended[place]} outcomes; it is in {', '.join(seen)}"
        for origin in sorted(ended.keys() - raw):
            yield f"{origin} has an outcome but was never published"
        for topic in (INGESTED, SCORED, CAPTIONED, CLEAN):
            for origin, count in Counter(found.origin for found in self._of(topic.name)).items():
                if count != 1:
                    yield f"{origin} is {count} times in {topic.name}"

    def _shard_faults(self) -> Iterator[str]:
        manifests = read_manifests(self._objects, self._dataset)
        yield from chain_faults(manifests)
        yield from object_faults(self._objects, self._dataset, manifests)
        written: Counter[str] = Counter()
        for manifest in manifests:
            rows = read_rows(self._objects, self._dataset, manifest)
            place = f"manifest {manifest.partition}/{manifest.start}"
            if len(rows) != manifest.pairs:
                yield f"{place} counts {manifest.pairs} pairs, its Parquet {len(rows)}"
            for row in rows:
                if not manifest.start <= row["offset"] < manifest.end:
                    yield f"{place} has a row of offset {row['offset']}"
                written[f"{manifest.topic}/{manifest.partition}/{row['offset']}"] += 1
        clean = {found.place for found in self._of(CLEAN.name)}
        for place in sorted(clean | written.keys()):
            if written[place] != (place in clean):
                yield f"clean record {place} is {written[place]} times in the shards"

    def _of(self, topic: str) -> list[Found]:
        return self.topics[topic]

    def _read(self, topic: str) -> Iterator[Found]:
        partitions = [
            TopicPartition(topic, number)
            for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
        assert partitions, f"there is no topic {topic}"
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        ends = self._consumer.end_offsets(partitions)
        while any(self._consumer.position(each) < end for each, end in ends.items()):
            for messages in self._consumer.poll(timeout_ms=500).values():
                for message in messages:
                    place = f"{topic}/{message.partition}/{message.offset}"
                    headers = dict(message.headers)
                    origin = headers.get("kaption-origin", place.encode()).decode()
                    yield Found(place, _place(origin), message.value)


def origins_of(messages: list[Found]) -> set[str]:
    """The origins of all messages of a topic."""
    return {found.origin for found in messages}


def _place(origin: str) -> str:
    """topic/partition/offset of an origin, without the topic's id."""
    return "/".join(origin.split("/")[:3])
