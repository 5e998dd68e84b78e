"""The sink stage: one batch of one partition becomes one shard."""

from __future__ import annotations

import logging
import re
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.shard import EXTENSIONS, ShardSample
from kaption.objectstore.store import ObjectStore
from kaption.schemas import BlobRef, CleanPair, Reason, Topic
from kaption.schemas.topics import CLEAN
from kaption.workers.policy import SinkPolicy
from kaption.workers.runtime.stage import Batching, Dead, Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.sink.spool import ImageSpool, SpooledImage
from kaption.workers.stages.sink.writer import ShardWriter

UNCOMMITTED_SHARDS = 16
"""More manifests than this past the committed offset mean that the group's offsets were lost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What `prepare` made: the image's file, or none where its shard is written already."""

    file: SpooledImage | None
    bytes: int
    """Of image and record."""


class SinkStage(Stage[CleanPair, PreparedImage]):
    """Writes ``{prefix}/data/{partition}/{start}-{end}-{writer}-{digest}.tar`` (WebDataset:
    image, json, txt) and ``.parquet`` (see `rows.table_schema`), then the manifest that makes
    them part of the dataset. Readers list manifests only.

    Until the manifest is written nothing has happened; afterwards the shard, or one into which it
    was merged, is there for good and its records are done, whoever gets them again. A writer that
    finds another's manifest deletes its own objects, takes over the other's end, and writes what is
    left to the next shard.

    Blobs are written before the records that name them and removed only by takedown, so all writers
    of one range agree on which images are missing (Reject: blob_missing).
    """

    name: ClassVar[str] = "sink"
    inputs: ClassVar[tuple[Topic, ...]] = (CLEAN,)
    outputs: ClassVar[tuple[Topic, ...]] = ()

    def __init__(
        self,
        policy: SinkPolicy,
        objects: ObjectStore,
        blobs: BlobStore,
        *,
        now: Callable[[], datetime],
        writer: str | None = None,
    ) -> None:
        """`writer` must be unique to this object; none: host name and random digits."""
        self._policy = policy
        self._objects = objects
        self._blobs = blobs
        self._chain = ManifestChain(objects, policy.prefix)
        self._writer = ShardWriter(
            objects, self._chain, policy.prefix, writer or _unique_writer(), now
        )
        self._spool = ImageSpool(Path(policy.spool or tempfile.gettempdir()) / "kaption-spool")
        self._ends: dict[int, int] = {}
        self._lock = threading.Lock()
        self._store_tried = False

    @property
    def batching(self) -> Batching:
        """A shard is a batch."""
        return Batching(
            max_records=self._policy.shard_records,
            max_wait_s=self._policy.shard_age_s,
            max_bytes=self._policy.shard_bytes,
            per_partition=True,
        )

    def setup(self) -> None:
        """Make room on local disk. Raises Fatal where that cannot be."""
        try:
            self._spool.open()
        except OSError as error:
            raise Fatal(f"no local room for images: {error}; correct sink.spool") from error

    def resume(self, topic: str, partition: int, committed: int) -> int:
        """Learn where the chain ends; start from the committed offset.

        What lies between the two is in a shard already, but its commit to Kafka is not: those
        records come again so that the rejected ones among them get their outcome, and the others
        are recognised without reading their images. Only where the chain is far ahead, because
        the group's offsets were lost, it is trusted and they are skipped.
        """
        if not self._store_tried:
            self._writer.try_conditional_write()
            self._store_tried = True
        starts = self._chain.starts(partition)
        last = self._chain.read(partition, starts[-1]) if starts else None
        if last is not None and last.topic != topic:
            raise Fatal(
                f"sink.prefix {self._policy.prefix!r} holds shards of topic {last.topic}, not of "
                f"{topic}: give each topic a prefix of its own"
            )
        end = self._advance(partition, self._chain.end_from(partition, starts[-1] if starts else 0))
        written = set(starts)
        if self._chain.floor(partition) > committed:
            written |= self._chain.merged_starts(partition)
        if sum(start >= committed for start in written) > UNCOMMITTED_SHARDS:
            _log.warning(
                "partition %d: offset %d is far behind the shards, going on from %d",
                *(partition, committed, end),
            )
            return end
        return committed

    def prepare(self, message: Incoming[CleanPair]) -> PreparedImage:
        """Fetch the image to local disk."""
        blob, position = message.record.image.blob, message.position
        if blob.media_type not in EXTENSIONS:
            raise Dead(f"no file name for media type {blob.media_type}")
        if position.offset < self._end(position.partition):
            if not self._blobs.exists(blob):
                raise _missing(blob)
            return PreparedImage(None, 0)
        try:
            data = self._blobs.get(blob)
        except KeyError as error:
            raise _missing(blob) from error
        try:
            file = self._spool.add(data)
        except OSError as error:
            raise Retry(f"spool: {error}; sink.spool has no room for a shard") from error
        return PreparedImage(file, len(data) + len(message.record.model_dump_json()))

    def size_of(self, message: Incoming[CleanPair], prepared: PreparedImage) -> int:
        """Bytes it adds to the tar, without the tar's own."""
        return prepared.bytes

    def process(
        self, batch: Sequence[tuple[Incoming[CleanPair], PreparedImage]]
    ) -> Sequence[Outcome]:
        """Write what the chain does not hold yet, as one shard or, after an adoption, the rest."""
        first = batch[0][0].position
        while True:
            end = self._end(first.partition)
            todo = [
                ShardSample(message.position, message.record, image.file.path)
                for message, image in batch
                if message.position.offset >= end and image.file is not None
            ]
            if not todo:
                return [Emit(())] * len(batch)
            written = self._writer.write(self._spool.folder, first.topic, end, todo)
            self._advance(first.partition, written)

    def ready(self) -> str | None:
        """None when the store answers."""
        return self._objects.ready()

    def close(self) -> None:
        """Remove the local files."""
        self._spool.close()

    def _end(self, partition: int) -> int:
        return self._ends.get(partition, 0)

    def _advance(self, partition: int, end: int) -> int:
        # A chain only grows; resume and process may learn of it at the same time.
        with self._lock:
            self._ends[partition] = max(end, self._end(partition))
            return self._ends[partition]


def _missing(blob: BlobRef) -> Reject:
    return Reject(Reason.BLOB_MISSING, blob.sha256)


def _unique_writer() -> str:
    host = re.sub(r"[^A-Za-z0-9.=-]", "-", socket.gethostname())[:60]
    return f"{host}-{uuid.uuid4().hex[:12]}"
