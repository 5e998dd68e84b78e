"""The contract between crawlers, workers and training: records, topics, wire format."""

from schemas.caption import Caption, CaptionKind, CheckResult
from schemas.connection import KafkaConnection, RedisConnection, StoreConnection
from schemas.dead_letter import DeadLetter, OriginalHeader
from schemas.evidence import Box, DetectedObject, OcrText, OptOutSignal, Tag
from schemas.image import BlobRef, ImageRef, ImageSource
from schemas.manifest import Manifest, ShardObject, floor_key, manifest_key, merged_key
from schemas.pair import CaptionedPair, CleanPair, IngestedPair, Pair, RawPair, Route, ScoredPair
from schemas.position import Position
from schemas.provenance import Audit, AuditState, DedupInfo, Provenance, StageTrace
from schemas.record import Record, Versioned
from schemas.rejection import Reason, RejectedPair
from schemas.takedown import Takedown, TakedownKind, rule_id, rules_for, takedown_key
from schemas.topics import TOPICS, Topic
from schemas.wire import (
    MalformedRecordError,
    SchemaMismatchError,
    WireError,
    decode,
    encode,
    header,
    headers_of,
    origin_of,
)

__all__ = [
    "TOPICS",
    "Audit",
    "AuditState",
    "BlobRef",
    "Box",
    "Caption",
    "CaptionKind",
    "CaptionedPair",
    "CheckResult",
    "CleanPair",
    "DeadLetter",
    "DedupInfo",
    "DetectedObject",
    "ImageRef",
    "ImageSource",
    "IngestedPair",
    "KafkaConnection",
    "MalformedRecordError",
    "Manifest",
    "OcrText",
    "OptOutSignal",
    "OriginalHeader",
    "Pair",
    "Position",
    "Provenance",
    "RawPair",
    "Reason",
    "Record",
    "RedisConnection",
    "RejectedPair",
    "Route",
    "SchemaMismatchError",
    "ScoredPair",
    "ShardObject",
    "StageTrace",
    "StoreConnection",
    "Tag",
    "Takedown",
    "TakedownKind",
    "Topic",
    "Versioned",
    "WireError",
    "decode",
    "encode",
    "floor_key",
    "header",
    "headers_of",
    "manifest_key",
    "merged_key",
    "origin_of",
    "rule_id",
    "rules_for",
    "takedown_key",
]
