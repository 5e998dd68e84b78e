"""Writing one shard with the samples of several."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path

from kaption.connections.errors import Fatal
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.index import read_manifest
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.objects import DamagedError, DataObjects
from kaption.objectstore.dataset.shard import (
    ShardSample,
    build_shard,
    offset_of,
    parse_sample,
    untar,
)
from kaption.objectstore.open import patiently
from kaption.schemas import Manifest, Position
from kaption.schemas.manifest import entry_of
from kaption.workers.compaction.obsolete import Obsolete
from kaption.workers.compaction.plan import Run


class Merger:
    """Writes the data objects of merged shards.

    `writer` is part of their keys and unique to this object. Files are built below `spool` (None:
    the system's folder for temporary files), which needs room for two shards.
    """

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        writer: str,
        spool: Path | None,
        now: Callable[[], datetime],
    ) -> None:
        self._objects = objects
        self._layout = Layout(prefix)
        self._data = DataObjects(objects, prefix)
        self._writer = writer
        self._spool = spool
        self._now = now

    def write(self, run: Run, obsolete: Obsolete) -> tuple[Manifest, Counter[str]]:
        """Upload the run's samples as one shard, without the obsolete ones.

        Returns the manifest, which the caller has to commit, and the number of samples left out by
        reason. Raises DamagedError where a sample cannot be read, KeyError where a shard of the run
        was merged and removed meanwhile, Fatal where the disk is full.
        """
        read = partial(read_manifest, self._objects, self._layout)
        shards = [patiently(partial(read, each)) for each in run]
        first, last = shards[0], shards[-1]
        dropped: Counter[str] = Counter()
        stem = shard_stem(first.partition, first.start, last.end, self._writer)
        try:
            with tempfile.TemporaryDirectory(dir=self._spool, prefix="kaption-") as folder:
                samples = list(self._samples(shards, obsolete, Path(folder), dropped))
                files = build_shard(Path(folder), stem, samples)
                for file in files:
                    key = self._layout.object(file.entry.key)
                    put = partial(self._objects.put, key, file.path, media_type=file.media_type)
                    patiently(put)
        except OSError as error:
            raise Fatal(f"spool: {error}; make room, or correct sink.spool") from error
        manifest = Manifest(
            topic=first.topic,
            topic_id=last.topic_id,
            partition=first.partition,
            start=first.start,
            end=last.end,
            pairs=len(samples),
            writer=self._writer,
            created_at=self._now(),
            objects=tuple(file.entry for file in files),
            parts=tuple(part for each in run for part in each.parts or (each.start,)),
        )
        return manifest, dropped

    def discard(self, manifest: Manifest) -> None:
        """Delete the objects of a manifest that was not committed."""
        for entry in manifest.objects:
            patiently(partial(self._objects.delete, self._layout.object(entry.key)))

    def _samples(
        self, shards: list[Manifest], obsolete: Obsolete, folder: Path, dropped: Counter[str]
    ) -> Iterator[ShardSample]:
        for manifest in shards:
            found = 0
            for key, members in untar(self._data.read(manifest, "webdataset")):
                found += 1
                sample = _sample(manifest, key, members, folder)
                reason = obsolete.reason(sample.position.offset, sample.pair.pair_id)
                if reason is None:
                    yield sample
                else:
                    dropped[reason] += 1
            if found != manifest.pairs:
                raise _damaged(manifest, f"{found} samples, not {manifest.pairs}")


def _sample(
    manifest: Manifest, key: str, members: Mapping[str, bytes], folder: Path
) -> ShardSample:
    try:
        offset = offset_of(key)
        pair, image = parse_sample(members)
    except ValueError as error:
        raise _damaged(manifest, f"sample {key}: {error}") from error
    path = folder / key
    path.write_bytes(image)
    return ShardSample(Position(manifest.topic, manifest.partition, offset), pair, path)


def _damaged(manifest: Manifest, fault: str) -> DamagedError:
    return DamagedError(manifest, entry_of(manifest, "webdataset"), fault)
