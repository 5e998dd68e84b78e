"""The contract between crawlers, workers and training: records, topics and wire format."""

from kaption.schemas.caption import Caption, CaptionKind, CheckResult, Doubt, TextSource
from kaption.schemas.dead_letter import DeadLetter, OriginalHeader
from kaption.schemas.evidence import Box, DetectedObject, OcrText, OptOutSignal, Tag
from kaption.schemas.image import BlobRef, ImageRef, ImageSource
from kaption.schemas.manifest import Manifest, ShardObject
from kaption.schemas.pair import (
    CaptionedPair,
    CleanPair,
    IngestedPair,
    Pair,
    RawPair,
    Route,
    ScoredPair,
)
from kaption.schemas.provenance import (
    Audit,
    AuditState,
    CaptionerResult,
    CaptionerUse,
    DedupInfo,
    Provenance,
    StageTrace,
)
from kaption.schemas.record import Position, Record, Versioned
from kaption.schemas.rejection import Reason, RejectedPair
from kaption.schemas.takedown import Takedown, TakedownKind, rule_id, rules_for
from kaption.schemas.topics import TOPICS, Topic
from kaption.schemas.wire import (
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
    "CaptionerResult",
    "CaptionerUse",
    "CheckResult",
    "CleanPair",
    "DeadLetter",
    "DedupInfo",
    "DetectedObject",
    "Doubt",
    "ImageRef",
    "ImageSource",
    "IngestedPair",
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
    "RejectedPair",
    "Route",
    "SchemaMismatchError",
    "ScoredPair",
    "ShardObject",
    "StageTrace",
    "Tag",
    "Takedown",
    "TakedownKind",
    "TextSource",
    "Topic",
    "Versioned",
    "WireError",
    "decode",
    "encode",
    "header",
    "headers_of",
    "origin_of",
    "rule_id",
    "rules_for",
]
