"""Compaction as `kaption compact` does it; every shard counts as small by default."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.objectstore.store import ObjectStore
from kaption.workers.compaction import Compacted, Compactor, Limits, retire
from support.sink_records import now

ALL = Limits(below=1 << 40, to=1 << 40, records=1 << 40)
LATER = datetime(2100, 1, 1, tzinfo=UTC)


def compact(
    objects: ObjectStore,
    limits: Limits = ALL,
    *,
    writer: str = "compactor",
    prefix: str = "dataset",
    dry: bool = False,
) -> Compacted:
    return Compactor(objects, prefix, limits, writer=writer, now=now).run(dry=dry)


def retire_all(objects: ObjectStore, before: datetime = LATER, *, prefix: str = "dataset") -> int:
    return retire(objects, prefix, before).shards


@contextmanager
def dying_at_delete(step: int) -> Iterator[None]:
    """Within it the deletion of this number, counted from 0, raises KeyboardInterrupt instead."""
    delete, steps = FolderStore.delete, iter(range(step + 1))

    def dying(self: FolderStore, key: str) -> None:
        if next(steps, None) == step:
            raise KeyboardInterrupt
        delete(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStore, "delete", dying)
        yield


def ranges(objects: ObjectStore) -> list[tuple[int, int, int]]:
    """Return partition, start and end of each shard that counts."""
    return [(m.partition, m.start, m.end) for m in read_manifests(objects, "dataset")]
