"""One shard: built, uploaded, and made part of the dataset by its manifest."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.shard import ShardFile, ShardSample, build_shard
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest

_log = logging.getLogger(__name__)


class ShardWriter:
    """Writes shards under one writer's name, which no other process may bear."""

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
        self._root = f"{prefix}/" if prefix else ""
        self._writer = writer
        self._now = now

    def write(self, folder: Path, topic: str, start: int, samples: Sequence[ShardSample]) -> int:
        """Write samples of one partition as the shard that starts at `start`.

        Files are built in `folder`. Returns the end of the chain as it then is: that of this shard,
        or, where another writer was first, wherever the chain ends now; own objects are gone then.
        """
        partition, end = samples[0].position.partition, samples[-1].position.offset + 1
        stem = f"data/{partition:05d}/{start:020d}-{end:020d}-{self._writer}"
        with tempfile.TemporaryDirectory(dir=folder) as building:
            files = _build(Path(building), stem, samples)
            for file in files:
                key = self._root + file.entry.key
                self._objects.put(key, file.path, media_type=file.media_type)
        manifest = Manifest(
            topic=topic,
            partition=partition,
            start=start,
            end=end,
            pairs=len(samples),
            writer=self._writer,
            created_at=self._now(),
            objects=tuple(file.entry for file in files),
        )
        standing = self._chain.commit(manifest)
        if standing.writer == self._writer and standing.objects == manifest.objects:
            if self._chain.floor(partition) <= start:
                return end
            self._chain.discard(manifest)
            _log.info("partition %d: shard %d was written and merged long ago", partition, start)
        else:
            _log.info("partition %d: shard %d is written by %s", partition, start, standing.writer)
        # Also where an earlier attempt of ours stands: with other records it has other names.
        for file in files:
            self._objects.delete(self._root + file.entry.key)
        return self._chain.end_from(partition, start)

    def try_conditional_write(self) -> None:
        """Make sure that the store refuses a second write; without that, shards would be lost.

        Raises Fatal where it does not.
        """
        key = f"{self._root}probe/{self._writer}"
        self._objects.put_if_absent(key, b"{}")
        refused = not self._objects.put_if_absent(key, b"{}")
        self._objects.delete(key)
        if not refused:
            raise Fatal(
                "the object store ignores If-None-Match, so two sinks could write one shard: "
                "use AWS S3, SeaweedFS or another with conditional writes, or a folder"
            )


def _build(folder: Path, stem: str, samples: Sequence[ShardSample]) -> tuple[ShardFile, ShardFile]:
    try:
        return build_shard(folder, stem, samples)
    except FileNotFoundError as error:
        raise Fatal(f"somebody emptied the spool: {error}; give sink.spool its own") from error
    except OSError as error:
        raise Retry(f"spool: {error}; sink.spool has no room for a shard") from error
