"""Rows of shards by the rules that would cover their samples: where a takedown has to look.

A row is 40 bits of the id of a rule, and the offset at which its shard began. Among a billion rows
a rule that covers nothing meets 40 bits of another one with a probability of 1 in 1,000. That costs
a look into a table, which says what is covered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from kaption.objectstore.dataset.checkpoint import PartitionCheckpoint, ShardEntry
from kaption.objectstore.dataset.layout import rules_place_of
from kaption.objectstore.dataset.pair_rows import ID, Kind, hashed, stored_rows
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.open import patiently
from kaption.objectstore.store import ObjectStore
from kaption.schemas import BlobRef, Caption, CleanPair, ImageRef, TextSource, rules_for
from kaption.schemas.takedown import Rule, rule_id

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE: Kind = [("rule", "<u8"), ("offset", "<i8")]
RULE_COLUMNS = ["sha256", "original_sha256", "image_url", "crawled_url", "page_url"]
RULE_COLUMNS += ["captions.list.element.source"]
"""What a takedown looks at, besides the pair_id. Tables from before captions had sources lack the
last one."""
_DIGITS = 10
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
    later = [each for each in chain if each.end > head.examined] if rules else []
    if not new:
        return later
    import numpy as np

    found, unknown = _found(objects, head, rules)
    everywhere = sorted(found["offset"].tolist())
    of_new = sorted(found["offset"][np.isin(found["rule"], _keys(new))].tolist())

    def suspect(each: ShardEntry) -> bool:
        starts = everywhere if each.end > head.examined else of_new
        return bisect_left(starts, each.start) < bisect_left(starts, each.end) or any(
            start < each.end and each.start < end for start, end in unknown
        )

    return list(filter(suspect, chain))


def _new(objects: ObjectStore, head: PartitionCheckpoint, rules: Iterable[Rule]) -> set[Rule]:
    """Return the rules that were not among those examined."""
    try:
        examined = patiently(partial(stored_rows, objects, head.examined_rules, ID))
    except KeyError:
        return set(rules)
    known, listed = set(examined.tolist()), list(rules)
    ids = hashed(map(rule_id, listed)).tolist()
    return {rule for rule, each in zip(listed, ids, strict=True) if each not in known}


def _found(
    objects: ObjectStore, head: PartitionCheckpoint, rules: Iterable[Rule]
) -> tuple[NDArray[np.void], list[tuple[int, float]]]:
    """Return the checkpoint's rows of the rules, and the offsets that it has no rows of."""
    import numpy as np

    keys, found, end = _keys(rules), [np.empty(0, RULE)], 0
    unknown: list[tuple[int, float]] = list(head.unread)
    for key in sorted(head.rules):  # by their starts
        first, last, _ = rules_place_of(key)
        try:
            rows = patiently(partial(stored_rows, objects, key, RULE))
            found.append(rows[np.isin(rows["rule"], keys)])
        except KeyError:  # damaged, or removed when newer checkpoints were written
            unknown.append((first, last))
        if first > end:  # as after a checkpoint of an earlier version
            unknown.append((end, first))
        end = max(end, last)
    return np.concatenate(found), [*unknown, (end, float("inf"))]


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
