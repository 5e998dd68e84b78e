"""Searching the topics for pairs that takedowns cover, and for their images."""

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
    rules_for,
)
from kaption.schemas.limits import Sha256
from kaption.schemas.pair import decision_key
from kaption.schemas.record import Record
from kaption.schemas.takedown import Rule, own_rules
from kaption.schemas.topics import AUDITED, CLEAN, INGESTED, REJECTED, topic_of
from kaption.workers.stores.footprint import Footprint, holder_of


class Remains(Record):
    """What a takedown has to refuse and then to remove, in the order of the fields."""

    images: tuple[Takedown, ...] = ()
    """Takedowns, by sha256, of images that a pair, URL or domain led to: not refused yet."""
    pairs: tuple[tuple[int, str], ...] = ()
    """Partition and pair_id of the covered pairs in pairs.clean that are not withdrawn yet."""
    blobs: tuple[Sha256, ...] = ()
    """Images, as stored and as crawlers delivered them, that no other pair needs."""
    footprints: tuple[Footprint, ...] = ()
    """What Redis knows of the covered pairs."""
    decisions: tuple[tuple[int, str], ...] = ()
    """Partition and key of what people decided about the covered pairs, in pairs.audited."""


AnyPair = RawPair | IngestedPair | CleanPair

_SEARCHED = (CLEAN, INGESTED, REJECTED, AUDITED)
"""Topics whose records name a stored image. pairs.clean keeps every pair, and pairs.audited those
that people judged. The other two keep pairs that are still between the stages, and pairs that a
later stage rejected, for their retention time."""


@dataclass
class SearchResult:
    """What the takedowns cover."""

    remains: Remains
    versions: list[Position]
    """Positions of all covered messages in pairs.clean; each may be a sample of a shard."""


@dataclass
class _Finds:
    clean: str
    """Name of pairs.clean on the broker, with the prefix."""
    audited: str
    """Name of pairs.audited on the broker, with the prefix."""
    decisions: set[tuple[int, str]] = field(default_factory=set)
    """Partition and key of covered decisions in pairs.audited."""
    standing: set[tuple[int, str]] = field(default_factory=set)
    """Partition and pair_id of pairs in pairs.clean whose newest message is covered."""
    versions: list[Position] = field(default_factory=list)
    footprints: dict[Footprint, None] = field(default_factory=dict)
    delivered: set[str] = field(default_factory=set)
    """sha256 of images that crawlers put into the store themselves."""
    found_by: dict[str, Takedown] = field(default_factory=dict)
    """The takedown of a pair, URL or domain that led to an image, by the image's sha256."""


def search(kafka: KafkaConnection, takedowns: Collection[Takedown]) -> SearchResult:
    """Read the topics to their present end, twice if other pairs may need an image found.

    Raises ReadError.
    """
    rules = {takedown.rule: takedown for takedown in takedowns}
    named = {value for kind, value in rules if kind is TakedownKind.SHA256}
    clean, audited = (each.prefixed(kafka.topic_prefix).name for each in (CLEAN, AUDITED))
    finds = _Finds(clean, audited)
    # A takedown of a sha256 names the image itself, even if no topic knows its pair any more.
    for value in sorted(named):
        finds.footprints[Footprint(sha256=value, original_sha256=value)] = None
    with TopicReader(kafka, _SEARCHED) as reader:
        ends = reader.ends()
        for read in filter(None, reader.reads(ends)):
            _look(read, rules, finds)
        shas = {sha for each in finds.footprints for sha in (each.sha256, each.original_sha256)}
        blobs = finds.delivered | {sha for sha in shas if sha is not None}
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
        decisions=tuple(sorted(finds.decisions)),
    )
    return SearchResult(remains, finds.versions)


def _look(read: Read, rules: Mapping[Rule, Takedown], finds: _Finds) -> None:
    position = read.position
    if isinstance(read.record, Tombstone):
        if position.topic == finds.clean:
            finds.standing.discard((position.partition, read.record.key))
        elif position.topic == finds.audited:
            finds.decisions.discard((position.partition, read.record.key))
        return
    pair = pair_in(read)
    if pair is None:
        return
    covering = [rules[rule] for rule in own_rules(pair) if rule in rules]
    covered = bool(covering)
    if isinstance(pair, CleanPair):
        # Who asks for a text that was found with a copy of the image does not ask for the image.
        covered = not rules.keys().isdisjoint(rules_for(pair))
        # A later version may have another image from another place, and then is not covered.
        decision = position.topic == finds.audited
        found = finds.decisions if decision else finds.standing
        place = (position.partition, decision_key(pair) if decision else pair.pair_id)
        found.discard(place)
        if covered:
            found.add(place)
            if not decision:
                finds.versions.append(position)
    if isinstance(pair, IngestedPair) and pair.brought_by is not None:
        copy = pair.brought_by
        if not rules.keys().isdisjoint(own_rules(copy)):
            footprint = Footprint(copy_of=pair.dedup.owner, pair_id=copy.pair_id)
            finds.footprints[footprint] = None
    if not covering:
        return
    if isinstance(read.record, RejectedPair) and (holder := holder_of(read.record)):
        finds.footprints[Footprint(copy_of=holder, pair_id=pair.pair_id)] = None
    if not isinstance(pair, RawPair):
        finds.footprints[Footprint.of(pair)] = None
    elif pair.image.blob is not None:
        finds.delivered.add(pair.image.blob.sha256)
    for takedown in covering:
        if takedown.kind is not TakedownKind.SHA256:
            finds.found_by |= dict.fromkeys(_sha256s(pair), takedown)


def _needed(reads: Iterable[Read], rules: Container[Rule], blobs: Collection[str]) -> Iterator[str]:
    """Give those of the images that belong to a pair that no takedown covers."""
    for read in reads:
        pair = read.record
        if isinstance(pair, IngestedPair | CleanPair):
            shared = [sha256 for sha256 in _sha256s(pair) if sha256 in blobs]
            if shared and not any(rule in rules for rule in own_rules(pair)):
                yield from shared


def _sha256s(pair: AnyPair) -> list[str]:
    """Return the sha256 of the pair's image, as stored and as delivered."""
    return [value for kind, value in own_rules(pair) if kind is TakedownKind.SHA256]


def pair_in(read: Read) -> AnyPair | None:
    """Return the pair in a message, or in the rejection that it holds, or None."""
    match read.record:
        case IngestedPair() | CleanPair() as pair:
            return pair
        case RejectedPair() as rejected:
            return _rejected(rejected)
    return None


def _rejected(rejected: RejectedPair) -> AnyPair | None:
    topic = topic_of(rejected.record_schema)
    try:
        pair = topic and topic.record.model_validate(rejected.record)
    except ValidationError:
        return None
    return pair if isinstance(pair, AnyPair) else None
