"""Rows of shards by the rules that would cover their samples: where a takedown has to look.

A row is 40 bits of the id of a rule, and the offset at which its shard began. Among a billion rows
a rule that covers nothing meets 40 bits of another one with a probability of 1 in 1,000. That costs
a look into a table, which says what is covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain as joined
from typing import TYPE_CHECKING, Any

from kaption.objectstore.dataset.checkpoint import PartitionCheckpoint, ShardEntry
from kaption.objectstore.dataset.layout import rules_place_of
from kaption.objectstore.dataset.pair_rows import ID, hashed, stored_rows
from kaption.objectstore.dataset.rule_blocks import RULE, stored_blocks
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import BlobRef, Caption, CleanPair, ImageRef, TextSource, rules_for
from kaption.schemas.takedown import Rule, rule_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE_COLUMNS = ["sha256", "original_sha256", "image_url", "crawled_url", "page_url"]
RULE_COLUMNS += ["captions.list.element.source"]
"""What a takedown looks at, besides the pair_id. Tables from before captions had sources lack the
last one."""
_DIGITS = 10
_READERS = 16
# Copies of these take a tenth of the time of `model_construct`, which looks at every field.
_BLOB, _IMAGE = BlobRef.model_construct(), ImageRef.model_construct()
_PAIR = CleanPair.model_construct()


def rule_rows(start: int, pairs: Iterable[CleanPair]) -> NDArray[np.void]:
    """Return the rows (`RULE`) of the shard that begins at offset `start` and holds the pairs."""
    import numpy as np

    keys = _keys({rule for pair in pairs for rule in rules_for(pair)})
    rows = np.empty(len(keys), RULE)
    rows["rule"], rows["offset"] = keys, start
    return rows


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

    ids = (int(rule_id(each)[:_DIGITS], 16) for each in rules)
    return np.unique(np.fromiter(ids, np.uint64))


def pair_of(row: dict[str, Any]) -> CleanPair:
    """Return a pair with no more than a takedown looks at, of a row with `RULE_COLUMNS`."""
    names = ("sha256", "original_sha256", "image_url", "crawled_url", "page_url")
    sha256, original, url, crawled, page = (row[name] for name in names)
    blob = _BLOB.model_copy(update={"sha256": sha256})
    fields = {"blob": blob, "original_sha256": original, "url": url, "crawled_url": crawled}
    image = _IMAGE.model_copy(update=fields)
    sources = [each["source"] for each in row.get("captions") or () if each["source"]]
    captions = tuple(
        Caption.model_construct(source=TextSource.model_construct(**source)) for source in sources
    )
    fields = {"pair_id": row["pair_id"], "page_url": page, "image": image, "captions": captions}
    return _PAIR.model_copy(update=fields)
