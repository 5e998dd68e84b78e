"""Rows of shards by the rules that would cover their samples: where a takedown has to look.

A row is 40 bits of the id of a rule, and the offset at which its shard began. Among a billion rows
a rule that covers nothing meets 40 bits of another one with a probability of 1 in 1,000. That costs
a look into a table, which says what is covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from itertools import chain as joined
from typing import TYPE_CHECKING, Any

from kaption.objectstore.dataset.checkpoint import PartitionCheckpoint, ShardEntry
from kaption.objectstore.dataset.layout import rules_place_of
from kaption.objectstore.dataset.pair_rows import ID, hashed, stored_rows
from kaption.objectstore.dataset.rule_blocks import RULE, stored_blocks
from kaption.objectstore.dataset.table import VERSION_COLUMNS, read_parquet
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import TakedownKind, TextSource
from kaption.schemas.takedown import Rule, address_rules, own_rules, rule_id, rule_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHA256 = ("sha256", "original_sha256")
_ADDRESSES = ("image_url", "crawled_url", "page_url")
_CAPTIONS = "captions"
RULE_COLUMNS = [*_SHA256, *_ADDRESSES, f"{_CAPTIONS}.list.element.source"]
"""What a takedown looks at, besides the pair_id. Tables from before captions had sources lack the
last one."""
_BITS = 40
_READERS = 16


def rule_rows(start: int, rules: Iterable[Rule]) -> NDArray[np.void]:
    """Return the rows (`RULE`) of the shard that begins at offset `start`.

    `rules` are those that would cover its samples.
    """
    import numpy as np

    keys = _keys(rules)
    rows = np.empty(len(keys), RULE)
    rows["rule"], rows["offset"] = keys, start
    return rows


def rule_table(data: bytes) -> Any:
    """Return of a table what `row_rules` needs, and `VERSION_COLUMNS`."""
    table = read_parquet(data, [*VERSION_COLUMNS, *RULE_COLUMNS])
    if _CAPTIONS in table.column_names:
        sources = table[_CAPTIONS].combine_chunks().flatten().field("source")
        if sources.null_count == len(sources):  # as in most tables; it is half of the rows' cost
            table = table.drop_columns([_CAPTIONS])
    return table


def table_rules(table: Any) -> Iterator[Rule]:
    """Every rule that would cover a sample of a `rule_table`.

    They are the `row_rules` of all rows, for a third of the time.
    """
    columns = {name: set(table[name].to_pylist()) for name in ["pair_id", *_SHA256, *_ADDRESSES]}
    for pair_id in columns["pair_id"]:
        yield TakedownKind.PAIR, pair_id
        yield TakedownKind.REFUSED, pair_id
    for value in set[str]().union(*(columns[name] for name in _SHA256)):
        yield TakedownKind.SHA256, value
    yield from address_rules(set[str | None]().union(*(columns[name] for name in _ADDRESSES)))
    if _CAPTIONS in table.column_names:
        for captions in table[_CAPTIONS].to_pylist():
            yield from _source_rules(captions)


def row_rules(row: Mapping[str, Any]) -> Iterator[Rule]:
    """Every rule that would cover a pair, given as a table's row with its id and `RULE_COLUMNS`.

    They are those of `rules_for`, which needs a pair.
    """
    yield TakedownKind.PAIR, row["pair_id"]
    yield TakedownKind.REFUSED, row["pair_id"]
    for name in _SHA256:
        yield TakedownKind.SHA256, row[name]
    yield from address_rules(row[name] for name in _ADDRESSES)
    yield from _source_rules(row.get(_CAPTIONS))


def _source_rules(captions: Iterable[Mapping[str, Any]] | None) -> Iterator[Rule]:
    for caption in captions or ():
        if caption["source"]:
            yield from own_rules(TextSource.model_construct(**caption["source"]))


def suspected(
    objects: ObjectStore,
    head: PartitionCheckpoint,
    chain: Sequence[ShardEntry],
    takedowns: Takedowns,
) -> list[ShardEntry]:
    """Return the shards of a chain that a takedown may cover a sample of, and those not known.

    Shards that the checkpoint says to be examined are asked for new rules alone. Raises Retry.
    """
    rules = takedowns.rules()
    new = set[Rule]() if takedowns.digest() == head.takedowns else _new(objects, head, rules)
    examined = [each for each in chain if each.end <= head.examined]
    later = chain[len(examined) :]
    return [*may_hold(objects, head, examined, new), *may_hold(objects, head, later, rules)]


def may_hold(
    objects: ObjectStore,
    head: PartitionCheckpoint,
    shards: Sequence[ShardEntry],
    rules: Collection[Rule],
) -> list[ShardEntry]:
    """Return those of some shards, by start, that may hold a sample that one of the rules covers.

    A shard that the checkpoint has no rows of is one of them. Raises Retry.
    """
    if not shards or not rules:
        return []
    keys, begin, end = _keys(rules), shards[0].start, shards[-1].end
    unknown: list[tuple[int, float]] = list(head.unread)
    asked, reached = list[tuple[int, int, str]](), 0
    for key in sorted(head.rule_blocks):  # by their starts
        first, last, _ = rules_place_of(key)
        if first > reached:  # as after a checkpoint of an earlier version
            unknown.append((reached, first))
        reached = max(reached, last)
        if first < end and begin < last:
            asked.append((first, last, key))
    unknown.append((reached, float("inf")))

    def starts(at: tuple[int, int, str]) -> list[int]:
        try:
            rows = patiently(partial(stored_blocks, objects, at[2], keys))
        except KeyError:  # damaged, or removed when newer checkpoints were written
            unknown.append(at[:2])
            return []
        found: list[int] = rows["offset"].tolist()
        return found

    with ThreadPoolExecutor(_READERS) as readers:
        found = sorted(joined.from_iterable(readers.map(starts, asked)))
    return [
        each
        for each in shards
        if any_within(found, each)
        or any(first < each.end and each.start < last for first, last in unknown)
    ]


def any_within(offsets: Sequence[int], shard: ShardEntry) -> bool:
    """Return whether any of the offsets, which are in their order, is in the shard."""
    return bisect_left(offsets, shard.start) < bisect_left(offsets, shard.end)


def _new(objects: ObjectStore, head: PartitionCheckpoint, rules: Iterable[Rule]) -> set[Rule]:
    """Return the rules that were not among those examined."""
    try:
        examined = patiently(partial(stored_rows, objects, head.examined_rules, ID))
    except KeyError:
        return set(rules)
    known, listed = set(examined.tolist()), list(rules)
    ids = hashed(map(rule_id, listed)).tolist()
    return {rule for rule, each in zip(listed, ids, strict=True) if each not in known}


def _keys(rules: Iterable[Rule]) -> NDArray[np.uint64]:
    import numpy as np

    # Who refused a pair in the audit asks for the same shards as who takes it down.
    texts = {
        rule_text((TakedownKind.PAIR if kind is TakedownKind.REFUSED else kind, value))
        for kind, value in rules
    }
    digests = b"".join([sha256(text.encode()).digest()[:8] for text in texts])
    return np.sort((np.frombuffer(digests, ">u8") >> np.uint64(64 - _BITS)).astype(np.uint64))
