"""Pins: versions of a dataset under a name, whose shards compaction keeps.

A pin notes how far each partition reaches and the generation of its chain: the shards up to that
generation are the ones that counted, as long as none of them is removed. So who removes shards
reads the chain first and the pins after it, and who writes a pin does it in two steps. First comes
a pin without partitions, which keeps everything. Then the dataset is read. A compaction that had
looked for pins before the first step removes only what did not count any more at that time, and so
is no part of what is read. Writing the pin once and looking afterwards was rejected: a writer that
died between the two would leave a pin that nobody may be able to read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from functools import partial

from pydantic import AwareDatetime, Field, ValidationError

from kaption.connections.errors import Fatal
from kaption.objectstore.dataset.checkpoint import ShardEntry
from kaption.objectstore.dataset.index import DatasetIndex, PartitionShards, chain_of, gap_in
from kaption.objectstore.dataset.layout import Layout, pin_name_of
from kaption.objectstore.dataset.manifests import live
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas.faults import one_line
from kaption.schemas.limits import Name, Whole
from kaption.schemas.record import Record

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TRIES = 10
_DEAD = timedelta(hours=1)
"""Who has not finished a pin after this time is dead: it takes seconds."""


class PinnedPartition(Record):
    """A partition as it was when the dataset was pinned."""

    end: Whole
    """First offset after its shards."""
    generation: Whole
    """The highest of its manifests."""
    pairs: Whole
    """Pairs in its shards, also those that others replaced."""
    topic_id: Name | None = None
    """The id of the topic that the offsets are of, where the manifests name it."""


class Pin(Record):
    """A version of the dataset."""

    pinned_at: AwareDatetime
    writer: Name
    """Unique to the command that wrote it."""
    partitions: dict[int, PinnedPartition] = Field(default_factory=dict)
    """Empty: the pin is not finished."""

    def shards(self, partition: int, entries: Iterable[ShardEntry]) -> list[ShardEntry]:
        """Return those of a partition's shards that the pin needs, by start.

        One that is not finished needs all of them.
        """
        at = self.partitions.get(partition)
        if not self.partitions:
            return list(entries)
        if at is None:
            return []
        return live(it for it in entries if it.generation <= at.generation and it.start < at.end)


def add_pin(objects: ObjectStore, prefix: str, name: str, writer: str, now: datetime) -> Pin:
    """Pin the dataset as it is now. `writer` must be unique to the call.

    Raises Fatal where the name is bad or taken, or where there are no shards, and Retry.
    """
    if _NAME.fullmatch(name) is None:
        raise Fatal(
            f"{name[:200]!r} is no name of a pin: give up to 100 of [A-Za-z0-9._-], a letter or "
            "digit first"
        )
    key, begun = Layout(prefix).pin(name), Pin(pinned_at=now, writer=writer)
    data = _encoded(begun)
    # A request that was repeated after a lost answer finds the pin that it wrote.
    if not objects.put_if_absent(key, data) and _read(objects, key) != begun:
        raise Fatal(f"there is a pin {name} already: choose another name, or delete it")
    try:
        pin = begun.model_copy(update={"partitions": _partitions(objects, prefix)})
        patiently(lambda: objects.put(key, _encoded(pin), media_type="application/json"))
    except BaseException:
        objects.delete(key)
        raise
    return pin


def delete_pin(objects: ObjectStore, prefix: str, name: str, now: datetime) -> None:
    """Delete a pin. Raises Fatal where there is none of that name, or while it is being made."""
    pin = find_pin(objects, prefix, name)
    if not pin.partitions and now - pin.pinned_at < _DEAD:
        # Its writer could finish it after its shards are removed.
        raise Fatal(
            f"the pin {name} is being made since {pin.pinned_at:%Y-%m-%d %H:%M:%S} UTC: if its "
            "command was killed, delete it an hour after that"
        )
    objects.delete(Layout(prefix).pin(name))


def read_pins(objects: ObjectStore, prefix: str) -> dict[str, Pin]:
    """Return all pins by name. Raises Fatal for one that cannot be parsed."""
    keys = patiently(lambda: list(objects.list(Layout(prefix).pins())))
    found = {pin_name_of(key): _read(objects, key) for key in keys}
    return {name: pin for name, pin in found.items() if pin is not None}


def find_pin(objects: ObjectStore, prefix: str, name: str) -> Pin:
    """Return a pin. Raises Fatal where there is none of that name."""
    layout = Layout(prefix)
    if _NAME.fullmatch(name) and (pin := _read(objects, layout.pin(name))):
        return pin
    known = ", ".join(map(pin_name_of, objects.list(layout.pins())))
    there = f"there are {known}" if known else "there are none"
    raise Fatal(f"there is no pin {name[:200]!r} below {layout.pins()}: {there}")


def needed_shards(
    pins: Iterable[Pin], partition: int, entries: Collection[ShardEntry]
) -> set[ShardEntry]:
    """Return those of a partition's shards that any of the pins needs."""
    return {each for pin in pins for each in pin.shards(partition, entries)}


def _partitions(objects: ObjectStore, prefix: str) -> dict[int, PinnedPartition]:
    index = DatasetIndex(objects, prefix)
    for _ in range(_TRIES):
        stored = patiently(index.read)
        if not stored:
            raise Fatal(f"there are no shards below {prefix}/ so far: nothing is pinned")
        gaps = [(number, gap_in(chain_of(each))) for number, each in stored.items()]
        faults = [f"partition {number}: {gap}" for number, gap in gaps if gap]
        if not faults:
            return {number: _pinned(each) for number, each in stored.items()}
        # The listing may have missed a manifest that was written meanwhile.
    raise Fatal(f"{faults[0]}, then pin again")


def _pinned(stored: PartitionShards) -> PinnedPartition:
    chain = chain_of(stored)
    return PinnedPartition(
        end=chain[-1].end,
        generation=max(each.generation for each in stored.entries),
        pairs=sum(each.pairs for each in chain),
        topic_id=stored.topic_id,
    )


def _encoded(pin: Pin) -> bytes:
    return pin.model_dump_json(indent=1).encode()


def _read(objects: ObjectStore, key: str) -> Pin | None:
    try:
        return Pin.model_validate_json(patiently(partial(objects.get, key)))
    except KeyError:
        return None
    except ValidationError as error:
        raise Fatal(f"{key} is no pin: {one_line(error, 'Pin')}; restore or delete it") from error
