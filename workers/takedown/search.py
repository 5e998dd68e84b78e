"""Looks for what takedowns cover, in the topics that tell which images were stored."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from kaption.connections.settings import KafkaConnection
from kaption.consumers import Read, Tombstone, TopicReader
from kaption.schemas import (
    CleanPair,
    IngestedPair,
    Position,
    RawPair,
    RejectedPair,
    Takedown,
    TakedownKind,
    Topic,
    rules_for,
)
from kaption.schemas.limits import Sha256
from kaption.schemas.record import Record
from kaption.schemas.takedown import Rule
from kaption.schemas.topics import CLEAN, INGESTED, REJECTED, TOPICS
from kaption.workers.stores.footprint import Footprint


class Remains(Record):
    """All that is to be refused, then removed, in this order."""

    images: tuple[Takedown, ...] = ()
    """By sha256, of those below that were found by something else: nothing refused them yet."""
    pairs: tuple[tuple[int, str], ...] = ()
    """In pairs.clean: partition and pair_id of those whose newest message has a value."""
    blobs: tuple[Sha256, ...] = ()
    """Stored images, and what crawlers delivered, unless another pair needs them."""
    footprints: tuple[Footprint, ...] = ()
    """Of pairs, in Redis."""


AnyPair = RawPair | IngestedPair | CleanPair

_SEARCHED = (CLEAN, INGESTED, REJECTED)
"""Who has a stored image is in the first for ever, and in the others as long as they are kept:
all that are on their way, and those that a later stage refused."""


@dataclass
class SearchResult:
    """What takedowns cover."""

    remains: Remains
    versions: list[Position]
    """Of covered messages in pairs.clean: each may be a sample of a shard."""


@dataclass
class _Finds:
    clean: str
    """The topic's name on the broker."""
    standing: set[tuple[int, str]] = field(default_factory=set)
    versions: list[Position] = field(default_factory=list)
    footprints: dict[Footprint, None] = field(default_factory=dict)
    delivered: set[str] = field(default_factory=set)
    found_by: dict[str, Takedown] = field(default_factory=dict)
    """Of images, where it is no takedown of the image itself."""


def search(kafka: KafkaConnection, takedowns: Collection[Takedown]) -> SearchResult:
    """Read the topics to their present end. Raises ReadError."""
    rules = {takedown.rule: takedown for takedown in takedowns}
    named = {value for kind, value in rules if kind is TakedownKind.SHA256}
    finds = _Finds(CLEAN.prefixed(kafka.topic_prefix).name)
    # Of a sha256 the image is known, also where no topic knows its pair any more.
    for value in sorted(named):
        finds.footprints[Footprint(sha256=value, original_sha256=value)] = None
    with TopicReader(kafka, _SEARCHED) as reader:
        ends = reader.ends()
        for read in filter(None, reader.reads(ends)):
            _look(read, rules, finds)
        blobs = finds.delivered | _images(finds.footprints)
        if blobs - named:
            blobs -= set(_needed(filter(None, reader.reads(ends)), rules, blobs))
    footprints = [
        each if each.sha256 in blobs else each.model_copy(update={"sha256": None})
        for each in finds.footprints
    ]
    remains = Remains(
        images=tuple(
            finds.found_by[sha256].of_image(sha256)
            for sha256 in sorted(finds.found_by.keys() & blobs - named)
        ),
        pairs=tuple(sorted(finds.standing)),
        blobs=tuple(sorted(blobs)),
        footprints=tuple(footprints),
    )
    return SearchResult(remains, finds.versions)


def _look(read: Read, rules: Mapping[Rule, Takedown], finds: _Finds) -> None:
    position = read.position
    if isinstance(read.record, Tombstone):
        if position.topic == finds.clean:
            finds.standing.discard((position.partition, read.record.key))
        return
    pair = _pair(read)
    if pair is None:
        return
    covering = [rules[rule] for rule in rules_for(pair) if rule in rules]
    covered = bool(covering)
    if isinstance(pair, CleanPair):
        # A later version may have another image, from elsewhere.
        finds.standing.discard((position.partition, pair.pair_id))
        if covered:
            finds.standing.add((position.partition, pair.pair_id))
            finds.versions.append(position)
    if not covered:
        return
    if not isinstance(pair, RawPair):
        finds.footprints[Footprint.of(pair)] = None
    elif pair.image.blob is not None:
        finds.delivered.add(pair.image.blob.sha256)
    for takedown in covering:
        if takedown.kind is not TakedownKind.SHA256:
            finds.found_by |= dict.fromkeys(_sha256s(pair), takedown)


def _needed(reads: Iterable[Read], rules: Container[Rule], blobs: Collection[str]) -> Iterator[str]:
    """Of these images those that are a pair's which is neither covered nor refused."""
    for read in reads:
        pair = read.record
        if isinstance(pair, IngestedPair | CleanPair):
            shared = [sha256 for sha256 in _sha256s(pair) if sha256 in blobs]
            if shared and not any(rule in rules for rule in rules_for(pair)):
                yield from shared


def _sha256s(pair: AnyPair) -> list[str]:
    """Of its image, as it is stored and as it was delivered."""
    return [value for kind, value in rules_for(pair) if kind is TakedownKind.SHA256]


def _images(footprints: Iterable[Footprint]) -> set[str]:
    known = {sha256 for each in footprints for sha256 in (each.sha256, each.original_sha256)}
    return {sha256 for sha256 in known if sha256 is not None}


def _pair(read: Read) -> AnyPair | None:
    """The pair that a message holds, also within a rejection; None where there is none."""
    match read.record:
        case IngestedPair() | CleanPair() as pair:
            return pair
        case RejectedPair() as rejected:
            return _rejected(rejected)
    return None


def _rejected(rejected: RejectedPair) -> AnyPair | None:
    kind = rejected.record_schema.partition("/")[0]
    topic: Topic | None = next((each for each in TOPICS if each.record.__name__ == kind), None)
    try:
        pair = topic and topic.record.model_validate(rejected.record)
    except ValidationError:
        return None
    return pair if isinstance(pair, AnyPair) else None
