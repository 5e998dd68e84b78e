"""Writing checkpoints, see `kaption.objectstore.dataset.checkpoint`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.objectstore.dataset.checkpoint import (
    PartitionCheckpoint,
    ShardEntry,
    decoded_checkpoint,
    encoded_checkpoint,
)
from kaption.objectstore.dataset.index import (
    DatasetIndex,
    PartitionShards,
    chain_of,
    gap_in,
    read_manifest,
)
from kaption.objectstore.dataset.layout import Layout, number_of, rules_place_of
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.pair_rows import (
    REPLACED,
    ROW,
    digest_of,
    encoded_rows,
    hashed,
    joined,
    latest,
    of_same_pairs,
    ordered,
    pair_rows,
    replaced_in,
    stored_rows,
)
from kaption.objectstore.dataset.rule_blocks import RULE, encoded_blocks, stored_blocks
from kaption.objectstore.dataset.rule_rows import rule_rows, rule_table, table_rules
from kaption.objectstore.dataset.shard import offset_of, parse_sample, untar
from kaption.objectstore.dataset.table import VERSION_COLUMNS
from kaption.objectstore.store import ObjectStore
from kaption.schemas.takedown import Rule, rule_id, rules_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kaption.objectstore.dataset.pair_rows import Rows

EVERY = 32
"""Shards of a partition after which its sink writes a checkpoint. Readers read the manifests and
tables of those that came since, and a checkpoint compares their pairs with all earlier ones."""
_TRIES = 10
_ROWS = 2_000_000
"""Rows of the largest object with pairs, and of those that are compared at once."""
_log = logging.getLogger(__name__)


class Checkpointer:
    """Writes checkpoints of the dataset at `prefix`. Several may do so at once."""

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self._layout = Layout(prefix)
        # Who has time to wait calls `write` patiently. The sink has none: it commits and stops.
        self._data = DataObjects(objects, prefix, patient=False)
        self._newer: dict[int, int] = {}

    def committed(self, partition: int) -> None:
        """Write a checkpoint where `EVERY` shards came since the last. Call it after each shard.

        Readers need no checkpoint, so what goes wrong is logged and tried again after the next
        shard. A dataset of an older version has too many shards without one: compaction writes it.
        """
        try:
            if partition not in self._newer:
                self._newer[partition] = self._count(partition) - 1
            self._newer[partition] += 1
            if self._newer[partition] % EVERY == 0:
                newer = self._count(partition)
                if EVERY <= newer <= 4 * EVERY:
                    self.write(partition)
                del self._newer[partition]
        except (Fault, ValueError, KeyError) as error:
            self._newer.pop(partition, None)
            _log.warning("no checkpoint of partition %d was written: %s", partition, error)

    def write(
        self,
        partition: int,
        without: Collection[ShardEntry] = (),
        *,
        removed: Collection[str] = (),
        released: Collection[str] = (),
        emptied: Collection[str] = (),
        examined: tuple[str, Collection[Rule], int] | None = None,
        anew: bool = False,
    ) -> PartitionShards:
        """Write what is stored of the partition, without some entries; return it.

        The checkpoint notes the keys of the manifests that are left out, until they are `removed`,
        and of those that are `released`, until they are `emptied`; see `PartitionCheckpoint`.
        `examined` is the digest of takedowns that cover no sample below an offset, with their rules
        and the offset. With `anew`, what the last checkpoint names is made once more. Writes
        nothing where nothing changed. Raises ValueError (pydantic) for a manifest that cannot be
        parsed, Fatal for a chain with a gap, and Retry.
        """
        index = DatasetIndex(self._objects, self._prefix, partition)
        failed, failure = None, Fault()
        for _ in range(_TRIES):
            stored = index.read().get(partition, PartitionShards())
            head, lost = stored.checkpoint, anew or failed == stored.checkpoint.number
            chain = chain_of(stored)
            if gap := gap_in(chain):
                failure = Fatal(f"partition {partition} below {self._prefix!r}: {gap}")
                continue  # the listing may have missed a manifest that was written meanwhile
            try:
                new = self._folded(
                    partition, PartitionCheckpoint(number=head.number) if lost else head, stored
                )
            except KeyError as error:
                # If there is no newer checkpoint, it is not that a shard was merged, and an object
                # is lost: all is made anew.
                failed, failure = head.number, Retry(f"partition {partition}: {error} is gone")
                if lost:
                    index.distrust(partition)
                continue
            entries = [each for each in stored.entries if each not in without]
            starts = [each.start for each in entries if not each.generation]
            removing = {*head.removing, *map(self._layout.key_of, without)} - {*removed}
            empty = {*head.emptied, *emptied} - removing
            digest, rules, end = examined or (new.takedowns, (), new.examined)
            examined_rules = new.examined_rules
            if digest != new.takedowns:
                examined_rules = self._put_rules(partition, new.end, rules)
            new = new.model_copy(
                update={
                    "last": max(starts, default=None),
                    "generation": max((each.generation for each in entries), default=0),
                    "topic_id": stored.topic_id,
                    "removing": tuple(sorted(removing)),
                    "released": tuple(sorted({*head.released, *released} - removing - empty)),
                    "emptied": tuple(sorted(empty)),
                    "takedowns": digest,
                    "examined": min(end, new.end),
                    "examined_rules": examined_rules,
                }
            )
            if new == head and len(entries) == len(stored.entries):
                return stored
            new = new.model_copy(update={"number": head.number + 1})
            key = self._layout.checkpoint(partition, new.number)
            if self._objects.put_if_absent(key, encoded_checkpoint(new, entries)):
                self._remove_older(partition, new)
                return PartitionShards(new, tuple(entries), stored.topic_id)
            failure = Retry(f"{key}: other writers were faster")
        raise failure

    def _count(self, partition: int) -> int:
        """How many shards of the sink are newer than the checkpoint."""
        keys, after = list(self._objects.list(self._layout.checkpoints(partition))), ""
        if keys:
            head, _ = decoded_checkpoint(self._objects.get(keys[-1]), partition)
            if head.last is not None:
                after = self._layout.manifest(partition, head.last)
        return len(list(self._objects.list(self._layout.manifests(partition), after)))

    def _folded(
        self, partition: int, head: PartitionCheckpoint, stored: PartitionShards
    ) -> PartitionCheckpoint:
        """Return the head with the rows of the shards that it does not know.

        One that knows nothing gets those of all shards, also of replaced ones that a pin may need:
        what compaction has left out since is in them alone.
        """
        every = sorted(stored.entries, key=lambda it: (it.start, -it.end))
        for run in _runs(PartitionShards(head).new(chain_of(stored) if head.end else every)):
            head = self._with_rows(partition, head, run)
        return head

    def _with_rows(
        self, partition: int, head: PartitionCheckpoint, run: Sequence[ShardEntry]
    ) -> PartitionCheckpoint:
        import numpy as np

        found, unread = [np.empty(0, ROW)], list[tuple[int, int]]()
        of_rules: list[tuple[ShardEntry, NDArray[np.void]]] = []
        for entry in run:
            rows, rules = self._rows(entry) or (None, np.empty(0, RULE))
            of_rules.append((entry, rules))
            if rows is None:
                unread.append((entry.start, entry.end))
            else:
                known = rows["offset"] < head.end
                for start, end in head.unread:
                    known &= (rows["offset"] < start) | (rows["offset"] >= end)
                found.append(rows[~known])
        new = ordered(np.concatenate(found))
        start, stop = run[0].start, max(each.end for each in run)
        end = max(head.end, stop)
        pairs, same = list(head.pairs), [new]
        first, newest = max(head.end, start), new
        for key in reversed(head.pairs):
            older = stored_rows(self._objects, key, ROW)
            same.append(of_same_pairs(older, new))
            # Each object with pairs has at least twice the rows of the next, so there are few.
            if key == pairs[-1] and len(older) < min(2 * len(newest), _ROWS):
                newest, first = ordered(np.concatenate([older, newest])), _start_of(pairs.pop())
        if len(new):
            pairs.append(self._put(partial(self._layout.pairs, partition, first, end), newest))
        put = partial(self._put, partial(self._layout.versions, partition, end))
        replaced, raised = head.replaced, head.raised
        if len(found_now := replaced_in(ordered(np.concatenate(same)))):
            replaced = put(joined(stored_rows(self._objects, replaced, REPLACED), found_now))
        if len(higher := new[new["version"] > 1]):
            both = np.concatenate([stored_rows(self._objects, raised, ROW), higher])
            raised = put(latest(ordered(both)))
        left = [each for each in head.unread if each[1] <= start or each[0] >= stop]
        return head.model_copy(
            update={
                "end": end,
                "unread": tuple(sorted({*left, *unread})),
                "pairs": tuple(pairs),
                "rule_blocks": self._with_rules(partition, head.rule_blocks, of_rules),
                "replaced": replaced,
                "raised": raised,
            }
        )

    def _with_rules(
        self,
        partition: int,
        keys: Iterable[str],
        found: Sequence[tuple[ShardEntry, NDArray[np.void]]],
    ) -> tuple[str, ...]:
        """Return the keys of the objects with rows of rules, to which those of shards are added.

        Each object has at least twice the rows of the next. Its key says which shards it knows, so
        it never has those of shards with an unknown one between them.
        """
        import numpy as np

        kept = list(keys)
        for touching in _touching(found):
            start, end = touching[0][0].start, max(entry.end for entry, _ in touching)
            rows = np.concatenate([rows for _, rows in touching])
            while kept and len(rows):
                first, last, count = rules_place_of(kept[-1])
                if count >= min(2 * len(rows), _ROWS) or last < start or end < first:
                    break
                rows = np.concatenate([stored_blocks(self._objects, kept.pop()), rows])
                start, end = min(first, start), max(last, end)
            if len(rows):
                data, digest = encoded_blocks(rows)
                kept.append(self._layout.rules(partition, start, end, len(rows), digest))
                self._objects.put(kept[-1], data)
        return tuple(kept)

    def _rows(self, entry: ShardEntry) -> tuple[Rows, NDArray[np.void]] | None:
        """Return the rows of a shard's table, or of its tar where the table is damaged.

        They are rows of pairs and rows of rules.
        """
        manifest = read_manifest(self._objects, self._layout, entry)
        try:
            data = self._data.read(manifest, "parquet")
        except DamagedError:
            try:
                tar = self._data.read(manifest, "webdataset")
            except DamagedError:
                read_manifest(self._objects, self._layout, entry)  # KeyError where it was merged
                return None
            samples = [(offset_of(key), parse_sample(it)[0]) for key, it in untar(tar)]
            ids, versions = [it.pair_id for _, it in samples], [it.version for _, it in samples]
            offsets = [offset for offset, _ in samples]
            rules: Iterator[Rule] = (rule for _, it in samples for rule in rules_for(it))
        else:
            table = rule_table(data)
            ids, versions, offsets = (table[name].to_pylist() for name in VERSION_COLUMNS)
            rules = table_rules(table)
        return pair_rows(ids, versions, offsets), rule_rows(entry.start, rules)

    def _put_rules(self, partition: int, end: int, rules: Collection[Rule]) -> str | None:
        """Store the ids of rules that were examined."""
        import numpy as np

        ids = np.unique(hashed(map(rule_id, rules)))
        return self._put(partial(self._layout.versions, partition, end), ids) if rules else None

    def _put(self, key: Callable[[str], str], rows: NDArray[np.void]) -> str:
        """Store rows under a key with their digest, so that equal rows have one object."""
        data = encoded_rows(rows)
        name = key(digest_of(data))
        self._objects.put(name, data)
        return name

    def _remove_older(self, partition: int, newest: PartitionCheckpoint) -> None:
        """Remove the checkpoints before the last one, which some reader may be about to read."""
        keys = list(self._objects.list(self._layout.checkpoints(partition)))
        *older, last = [key for key in keys if number_of(key) < newest.number] or [""]
        kept = newest.named | self._named_by(last)
        for key in older:
            for name in self._named_by(key) - kept:
                self._objects.delete(name)
            self._objects.delete(key)

    def _named_by(self, key: str) -> set[str]:
        try:
            head, _ = (
                decoded_checkpoint(self._objects.get(key), 0)
                if key
                else (PartitionCheckpoint(), [])
            )
        except (KeyError, ValueError):
            return set()
        return head.named


def _runs(entries: Sequence[ShardEntry]) -> Iterator[Sequence[ShardEntry]]:
    run, rows, end = list[ShardEntry](), 0, 0
    for each in entries:
        # Shards of the same offsets are in one run: what is below a checkpoint's end is known.
        if run and each.start >= end and rows + each.pairs > _ROWS:
            yield run
            run, rows = [], 0
        run.append(each)
        rows, end = rows + each.pairs, max(end, each.end)
    if run:
        yield run


def _touching(
    found: Sequence[tuple[ShardEntry, NDArray[np.void]]],
) -> Iterator[Sequence[tuple[ShardEntry, NDArray[np.void]]]]:
    """Divide shards and their rows where offsets are missing between two shards."""
    begin = 0
    for place, (entry, _) in enumerate(found):
        if place and entry.start > max(each.end for each, _ in found[begin:place]):
            yield found[begin:place]
            begin = place
    yield found[begin:]


def _start_of(key: str) -> int:
    return int(key.rpartition("/")[2].partition("-")[0])
