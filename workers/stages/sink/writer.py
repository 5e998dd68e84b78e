"""Writing one shard: build its files, upload them, then commit its manifest."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client import Counter, Gauge

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.checkpointer import Checkpointer
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.shard import ShardFile, ShardSample, build_shard
from kaption.objectstore.open import try_store
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest

_log = logging.getLogger(__name__)
SHARDS = Counter(
    "kaption_shards_total",
    "Shards committed by this worker. Many small ones: raise sink.shard_age_s, or compact them.",
)
SHARD_BYTES = Counter(
    "kaption_shard_bytes_total",
    "Bytes of the committed shards' objects. Few for each shard: raise sink.shard_age_s.",
)
LAST_MANIFEST = Gauge(
    "kaption_last_manifest_timestamp_seconds",
    "Seconds from 1970 to the last shard that this worker committed; 0 before the first. Far back "
    "while records wait: look at the sink's log.",
)


class ShardWriter:
    """Writes shards under the name `writer`, which no other process may have."""

    def __init__(
        self,
        objects: ObjectStore,
        chain: ManifestChain,
        prefix: str,
        writer: str,
        now: Callable[[], datetime],
    ) -> None:
        self._objects = objects
        self._chain = chain
        self._layout = Layout(prefix)
        self._checkpointer = Checkpointer(objects, prefix)
        self._writer = writer
        self._now = now

    def write(self, folder: Path, start: int, samples: Sequence[ShardSample]) -> int:
        """Write samples of one partition as the shard that starts at offset `start`.

        Files are built in `folder`. Returns the offset at which the chain then ends. If another
        writer committed a shard at `start` first, that is the end of the other writer's shards, and
        the objects of this one are deleted.
        """
        first, end = samples[0].position, samples[-1].position.offset + 1
        partition = first.partition
        stem = shard_stem(partition, start, end, self._writer)
        with tempfile.TemporaryDirectory(dir=folder) as building:
            files = _build(Path(building), stem, samples)
            for file in files:
                key = self._layout.object(file.entry.key)
                self._objects.put(key, file.path, media_type=file.media_type)
        manifest = Manifest(
            topic=first.topic,
            topic_id=first.topic_id,
            partition=partition,
            start=start,
            end=end,
            pairs=len(samples),
            writer=self._writer,
            created_at=self._now(),
            objects=tuple(file.entry for file in files),
        )
        standing = self._chain.commit(manifest)
        shard = {"partition": partition, "start": start}
        if standing.writer == self._writer and standing.objects == manifest.objects:
            if self._chain.floor(partition) <= start:
                SHARDS.inc()
                SHARD_BYTES.inc(sum(entry.bytes for entry in manifest.objects))
                LAST_MANIFEST.set_to_current_time()
                self._checkpointer.committed(partition)
                return end
            self._chain.discard(manifest)
            _log.info("the shard was merged before", extra=shard)
        else:
            _log.info("the shard was written before", extra=shard | {"writer": standing.writer})
        # The stored manifest may be that of an earlier attempt of this writer. Its objects are not
        # deleted here: other records have another digest, and so other keys.
        for file in files:
            self._objects.delete(self._layout.object(file.entry.key))
        return self._chain.end_from(partition, start)

    def try_store(self, folder: Path) -> None:
        """Check that the store takes files and refuses a second manifest. Raises Fatal."""
        try_store(self._objects, self._layout.probe(self._writer), folder=folder)


def _build(folder: Path, stem: str, samples: Sequence[ShardSample]) -> tuple[ShardFile, ...]:
    try:
        return build_shard(folder, stem, samples)
    except FileNotFoundError as error:
        raise Fatal(
            f"another program emptied the spool: {error}; set sink.spool to another folder"
        ) from error
    except OSError as error:
        raise Retry(f"spool: {error}; sink.spool has no room for a shard") from error
