"""One shard out of several."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from kaption.connections.errors import Fatal
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.layout import dataset_root
from kaption.objectstore.dataset.shard import DamagedError, Shards, ShardSample, build_shard, untar
from kaption.objectstore.patience import patiently
from kaption.schemas import CleanPair, Manifest, Position
from kaption.workers.compaction.obsolete import Obsolete
from kaption.workers.compaction.plan import Run


class Merger:
    """Writes the data objects of merged shards, under one writer's name, unique to it.

    Files are built below `spool`, which needs room for two shards.
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
        self._root = dataset_root(prefix)
        self._shards = Shards(objects, prefix)
        self._writer = writer
        self._spool = spool
        self._now = now

    def write(self, run: Run, obsolete: Obsolete) -> tuple[Manifest, Counter[str]]:
        """Upload the run's samples as one shard, without the obsolete ones.

        Returns its manifest, which is yet to be committed, and what was dropped, why. Raises
        DamagedError where a sample cannot be read, Fatal where there is no room.
        """
        first, last = run[0], run[-1]
        dropped: Counter[str] = Counter()
        stem = f"data/{first.partition:05d}/{first.start:020d}-{last.end:020d}-{self._writer}"
        try:
            with tempfile.TemporaryDirectory(dir=self._spool, prefix="kaption-") as folder:
                samples = list(self._samples(run, obsolete, Path(folder), dropped))
                files = build_shard(Path(folder), stem, samples)
                for file in files:
                    self._put(file.entry.key, file.path, file.media_type)
        except OSError as error:
            raise Fatal(f"spool: {error}; make room, or correct sink.spool") from error
        manifest = Manifest(
            topic=first.topic,
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
        """Delete the objects of a manifest that somebody else was faster than."""
        for entry in manifest.objects:
            self._delete(self._root + entry.key)

    def _delete(self, key: str) -> None:
        patiently(lambda: self._objects.delete(key))

    def _put(self, key: str, path: Path, media_type: str) -> None:
        patiently(lambda: self._objects.put(self._root + key, path, media_type=media_type))

    def _samples(
        self, run: Run, obsolete: Obsolete, folder: Path, dropped: Counter[str]
    ) -> Iterator[ShardSample]:
        for manifest in run:
            found = 0
            for key, members in untar(self._shards.read(manifest, "webdataset")):
                found += 1
                sample = _sample(manifest, key, members, folder)
                if sample.position.offset in obsolete.taken_down:
                    dropped["taken down"] += 1
                elif sample.position.offset in obsolete.replaced:
                    dropped["replaced"] += 1
                else:
                    yield sample
            if found != manifest.pairs:
                raise DamagedError(manifest, f"{found} samples, not {manifest.pairs}")


def _sample(manifest: Manifest, key: str, members: dict[str, bytes], folder: Path) -> ShardSample:
    try:
        pair = CleanPair.model_validate_json(members["json"])
        (image,) = members.keys() - {"json", "txt"}
        offset = int(key.rpartition("-")[2])
    except (KeyError, ValueError) as error:
        raise DamagedError(manifest, f"{key}: {error}") from error
    path = folder / key
    path.write_bytes(members[image])
    return ShardSample(Position(manifest.topic, manifest.partition, offset), pair, path)
