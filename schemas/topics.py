"""The topics as data: the record, the retention and the largest message of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kaption.schemas.dead_letter import DeadLetter
from kaption.schemas.limits import DEAD_MESSAGE_BYTES, RAW_MESSAGE_BYTES, STAGE_MESSAGE_BYTES
from kaption.schemas.pair import CaptionedPair, CleanPair, IngestedPair, RawPair, ScoredPair
from kaption.schemas.record import Versioned
from kaption.schemas.rejection import RejectedPair

_DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: its record type and its settings on the broker."""

    name: str
    record: type[Versioned]
    purpose: str
    partitions: int = 12
    retention_ms: int = 7 * _DAY_MS
    """-1: for ever."""
    cleanup_policy: str = "delete"
    compaction_lag_ms: int | None = None
    """Of a compacted topic: how long a message may outlive a newer message or a tombstone with its
    key. Without this limit a broker compacts a quiet topic late and keeps withdrawn pairs long."""
    max_message_bytes: int = STAGE_MESSAGE_BYTES

    def config(self) -> dict[str, str]:
        """Topic settings under the broker's names."""
        config = {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
        }
        if self.compaction_lag_ms is not None:
            config["max.compaction.lag.ms"] = str(self.compaction_lag_ms)
        return config

    def prefixed(self, prefix: str) -> Topic:
        """The topic with `prefix` before its name, so that deployments can share a broker."""
        return replace(self, name=prefix + self.name)


RAW = Topic("pairs.raw", RawPair, "what crawlers publish", max_message_bytes=RAW_MESSAGE_BYTES)
INGESTED = Topic("pairs.ingested", IngestedPair, "decoded, deduplicated, stored")
SCORED = Topic("pairs.scored", ScoredPair, "alt text too weak: needs captions")
CAPTIONED = Topic("pairs.captioned", CaptionedPair, "with candidates, or alt text already good")
CLEAN = Topic(
    "pairs.clean",
    CleanPair,
    "aligned training pairs; the newest version of each pair_id is kept for ever",
    cleanup_policy="compact",
    compaction_lag_ms=7 * _DAY_MS,
    retention_ms=-1,
)
REJECTED = Topic(
    "pairs.rejected", RejectedPair, "rejected, with one reason each", retention_ms=30 * _DAY_MS
)
DEAD = Topic(
    "pairs.dead",
    DeadLetter,
    "messages that no stage could process, byte for byte, for replay",
    partitions=3,
    retention_ms=-1,
    max_message_bytes=DEAD_MESSAGE_BYTES,
)
AUDIT = Topic(
    "pairs.audit", CleanPair, "a sample of clean pairs for people", 3, retention_ms=90 * _DAY_MS
)
AUDITED = Topic(
    "pairs.audited",
    CleanPair,
    "what people decided about the sample; the newest decision of each person and pair is kept",
    partitions=3,
    cleanup_policy="compact",
    compaction_lag_ms=7 * _DAY_MS,
    retention_ms=-1,
)

TOPICS = (RAW, INGESTED, SCORED, CAPTIONED, CLEAN, REJECTED, DEAD, AUDIT, AUDITED)


def topic_of(schema: str) -> Topic | None:
    """The first topic that holds records of a schema, such as ``IngestedPair/1``."""
    kind = schema.partition("/")[0]
    return next((each for each in TOPICS if each.record.__name__ == kind), None)
