"""The topics of the audit: read up to their ends, and written in one transaction."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from functools import partial

from kaption.connections.errors import Retry
from kaption.connections.kafka.clients import transactional_producer
from kaption.connections.kafka.library import KafkaError
from kaption.connections.kafka.messages import Message, Withdrawal
from kaption.connections.kafka.transaction import BlockingTransactions, Committed
from kaption.connections.settings import KafkaConnection
from kaption.consumers import Tombstone, TopicReader
from kaption.schemas import CleanPair, Position, encode, headers_of
from kaption.schemas.topics import AUDIT, AUDITED, CLEAN
from kaption.workers.audit.index import AuditIndex

_DEADLINE_S = 20.0
_EXPIRY_S = 10.0
"""The broker ends the transaction of a server that was killed after this time."""

_log = logging.getLogger(__name__)


class AuditLog:
    """Keeps an index up to date, and writes decisions. Not thread-safe."""

    def __init__(self, kafka: KafkaConnection, index: AuditIndex) -> None:
        """Connect. Raises ReadError."""
        self._kafka = kafka
        self._index = index
        self._names = {
            topic: topic.prefixed(kafka.topic_prefix).name for topic in (AUDIT, AUDITED, CLEAN)
        }
        self._reader = TopicReader(kafka, [AUDIT, AUDITED])
        self._writer = BlockingTransactions("audit", _DEADLINE_S)
        self._opened = False

    def catch_up(self) -> None:
        """Read all that is committed by now. Raises ReadError."""
        ends = self._reader.ends()
        for read in filter(None, self._reader.reads(ends)):
            match read.record:
                case CleanPair() as pair if read.position.topic == self._names[AUDIT]:
                    self._index.add_sample(pair)
                case CleanPair() as pair:
                    self._index.add_decision(pair)
                case Tombstone() as tombstone:
                    self._index.forget(tombstone.key)
                case other:
                    _log.warning("left out", extra={"at": str(read.position), "why": str(other)})
        self._reader.begin_at(
            Position(topic, partition, end) for (topic, partition), end in ends.items()
        )

    def write(self, decision: CleanPair, key: str, clean: Sequence[CleanPair | None]) -> None:
        """Write a decision, and a new version of its pair to pairs.clean; None is a tombstone.

        One transaction commits both messages or neither. Raises Retry if it failed or if its
        outcome is unknown: the caller then reads the topics to their ends to find out.
        """
        messages = [
            (self._names[AUDITED], _message(key, decision)),
            *((self._names[CLEAN], _message(decision.pair_id, each)) for each in clean),
        ]
        try:
            if not self._opened:
                self._writer.open(self._producer, lambda: None)
                self._opened = True
            result = self._writer.commit(messages, {}, None)
        except (KafkaError, TimeoutError) as error:
            self._opened = False
            raise Retry(f"Kafka did not take the decision: {error}") from error
        if not isinstance(result, Committed):
            self._opened = False
            raise Retry(f"Kafka may not have taken the decision: {result.error}")
        self._index.add_decision(decision)

    def close(self) -> None:
        """Close the connections."""
        self._writer.close()
        self._reader.close()

    def _producer(self) -> object:
        # Each server has its own id: servers must not fence each other.
        name = f"{self._kafka.topic_prefix}audit-{uuid.uuid4().hex}"
        make = partial(transactional_producer, self._kafka, name, AUDITED.max_message_bytes)
        return make(request_s=_DEADLINE_S / 2, block_s=_DEADLINE_S / 2, expiry_s=_EXPIRY_S)


def _message(key: str, pair: CleanPair | None) -> Message | Withdrawal:
    if pair is None:
        return Withdrawal(key.encode())
    return Message(encode(pair), key.encode(), tuple(headers_of(pair, _origin(pair))))


def _origin(pair: CleanPair) -> Position | None:
    """The pair's position in pairs.raw. It is the owner of the image's claims."""
    try:
        return Position.parse(pair.dedup.owner)
    except ValueError:
        return None
