"""Writing one shard: build its files, upload them, then commit its manifest."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.shard import ShardFile, ShardSample, build_shard
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest

_log = logging.getLogger(__name__)


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
        self._writer = writer
        self._now = now

    def write(self, folder: Path, topic: str, start: int, samples: Sequence[ShardSample]) -> int:
        """Write samples of one partition as the shard that starts at offset `start`.

        Files are built in `folder`. Returns the offset at which the chain then ends. If another
        writer committed a shard at `start` first, that is the end of the other writer's shards, and
        the objects of this one are deleted.
        """
        partition, end = samples[0].position.partition, samples[-1].position.offset + 1
        stem = shard_stem(partition, start, end, self._writer)
        with tempfile.TemporaryDirectory(dir=folder) as building:
            files = _build(Path(building), stem, samples)
            for file in files:
                key = self._layout.object(file.entry.key)
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
        shard = {"partition": partition, "start": start}
        if standing.writer == self._writer and standing.objects == manifest.objects:
            if self._chain.floor(partition) <= start:
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

    def try_conditional_write(self) -> None:
        """Check that the store refuses a second write, without which shards would be lost.

        Raises Fatal where it does not.
        """
        key = self._layout.probe(self._writer)
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
        raise Fatal(
            f"another program emptied the spool: {error}; set sink.spool to another folder"
        ) from error
    except OSError as error:
        raise Retry(f"spool: {error}; sink.spool has no room for a shard") from error
