"""One pair's whole life: topics, shards, takedowns, and what Redis holds about it now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kaption.connections.errors import Fault
from kaption.objectstore import ObjectStore, open_store
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import ManifestCache, live
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.dataset.takedowns import read_takedowns
from kaption.schemas import (
    CleanPair,
    IngestedPair,
    Manifest,
    Position,
    RawPair,
    RejectedPair,
    TakedownKind,
    rule_id,
    rules_for,
)
from kaption.schemas.record import differ
from kaption.schemas.wire import WireError, origin_of
from kaption.workers.report.events import PairEvent, event_of
from kaption.workers.report.traces import PairMessage, PairTraces, versions
from kaption.workers.settings import Settings
from kaption.workers.stores.claims import AuditClaims
from kaption.workers.stores.client import keyspace
from kaption.workers.stores.dedup import Dedup
from kaption.workers.stores.footprint import Footprint, holder_of
from kaption.workers.wiring import forgetful_stores

_FIRST = datetime.min.replace(tzinfo=UTC)
_IN_REDIS = {
    "Dedup": "claims on image and text",
    "Answers": "answers of its URL",
    "EmbeddingCache": "embeddings",
    "CaptionCache": "cached captions",
    "Bank": "places in banks",
    "CopyTexts": "texts of refused copies",
    "OcrCache": "cached texts in the image",
    "SemanticClaims": "semantic claims",
    "Versions": "versions",
}


@dataclass
class PairLife:
    """What is known about a pair."""

    pair_id: str
    events: list[PairEvent] = field(default_factory=list)
    """What happened to the pair, in the order of time."""
    redis: dict[str, Any] = field(default_factory=dict)
    """What Redis holds now, by its name for people."""
    notes: list[str] = field(default_factory=list)
    """What was not looked at, in sentences."""

    @property
    def known(self) -> bool:
        """Whether any place knows the pair."""
        return bool(self.events or self.redis)


def life_of(settings: Settings, pair_id: str, most: int, *, everywhere: bool) -> PairLife:
    """Look in all places. A store or Redis that is away becomes a note.

    `most` and `everywhere` are those of `PairTraces`. Raises ReadError, TopicError, Fatal.
    """
    life = PairLife(pair_id)
    traces = PairTraces(settings.kafka, pair_id, most, everywhere=everywhere)
    reads = sorted(traces.find(), key=lambda read: (read.timestamp_ms, read.position))
    events = [event_of(read) for read in reads]
    life.notes += traces.notes
    objects, prefix = open_store(settings.store), settings.sink.prefix

    def add(what: str, look: Callable[[], object]) -> None:
        try:
            look()
        except Fault as error:
            life.notes.append(f"{what} not known now ({error})")

    add("shards are", lambda: events.extend(_in_shards(objects, prefix, pair_id, reads)))
    add("takedowns are", lambda: events.extend(_takedowns(objects, prefix, pair_id, reads)))
    add("what Redis holds is", lambda: life.redis.update(_in_redis(settings, pair_id, reads)))
    # An event without a time stays where it was found: after what came before it.
    life.events = sorted(events, key=lambda event: event.at or _FIRST)
    return life


def _in_shards(
    objects: ObjectStore, prefix: str, pair_id: str, reads: Sequence[PairMessage]
) -> Iterator[PairEvent]:
    """The shards whose tables have the pair, and what replaced them."""
    places: dict[int, list[Position]] = {}
    for position, _ in versions(reads):
        places.setdefault(position.partition, []).append(position)
    for partition, positions in sorted(places.items()):
        by_key = ManifestCache(objects, prefix, partition).read()
        counted = live(by_key.values())
        for key, manifest in sorted(by_key.items()):
            here = [it.offset for it in positions if _covers(manifest, it)]
            if not here:
                continue
            for row in read_rows(objects, prefix, manifest):
                if row["pair_id"] == pair_id:
                    yield _shard_event(key, manifest, row, manifest in counted)


def _covers(manifest: Manifest, place: Position) -> bool:
    same = not differ(manifest.topic_id, place.topic_id)
    return same and manifest.topic == place.topic and manifest.start <= place.offset < manifest.end


def _shard_event(key: str, manifest: Manifest, row: dict[str, Any], counts: bool) -> PairEvent:
    objects = [entry.key for entry in manifest.objects]
    what = f"version {row['version']} written into a shard" + (
        " by compaction" if manifest.generation else ""
    )
    details = (f"sample {row['key']}", *objects, *(() if counts else ("replaced since",)))
    data = {"sample": row["key"], "version": row["version"], "objects": objects, "live": counts}
    return PairEvent(manifest.created_at, key, what, details, data)


def _takedowns(
    objects: ObjectStore, prefix: str, pair_id: str, reads: Sequence[PairMessage]
) -> Iterator[PairEvent]:
    rules = {(TakedownKind.PAIR, pair_id), (TakedownKind.REFUSED, pair_id)}
    for pair in _pairs(reads):
        rules |= set(rules_for(pair))
    below = Layout(prefix).takedowns()
    keys = {f"{below}{rule_id(rule)}.json" for rule in rules}
    for key, takedown in read_takedowns(objects, keys).items():
        what = f"taken down by {takedown.kind.value}"
        details = tuple(filter(None, (takedown.value, takedown.reason)))
        data = takedown.model_dump(mode="json", exclude_defaults=True)
        yield PairEvent(takedown.requested_at, key, what, details, data)


def _in_redis(settings: Settings, pair_id: str, reads: Sequence[PairMessage]) -> dict[str, Any]:
    prints = list(dict.fromkeys(_footprints(pair_id, reads)))
    held: dict[str, Any] = {}
    for store in forgetful_stores(settings):
        # What a takedown would remove is what there is.
        if prints and (entries := store.forget(prints, dry_run=True)):
            name = type(store).__name__
            held[_IN_REDIS.get(name, name)] = entries
    redis = settings.redis
    if images := sorted({it.original_sha256 for it in prints if it.original_sha256}):
        holders = Dedup.connected(redis, settings.ingest.dedup).holders(images)
        held["claims"] = {
            sha256: str(holder) for sha256, holder in zip(images, holders, strict=True) if holder
        }
    if by := AuditClaims(*keyspace(redis), settings.audit.claim_s).holder(pair_id):
        held["judged now by"] = by
    return {name: value for name, value in held.items() if value}


def _footprints(pair_id: str, reads: Sequence[PairMessage]) -> Iterator[Footprint]:
    """Under which keys Redis may know the pair."""
    for read in reads:
        try:
            yield Footprint(owner=str(origin_of(read.headers, read.position)), pair_id=pair_id)
        except WireError:
            continue
        if isinstance(read.record, RejectedPair) and (holder := holder_of(read.record)):
            yield Footprint(copy_of=holder, pair_id=pair_id)
    for pair in _pairs(reads):
        if isinstance(pair, IngestedPair | CleanPair):
            yield Footprint.of(pair)


def _pairs(reads: Iterable[PairMessage]) -> Iterator[RawPair | IngestedPair | CleanPair]:
    for read in reads:
        if isinstance(read.record, RawPair | IngestedPair | CleanPair):
            yield read.record
