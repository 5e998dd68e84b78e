"""The sink stage: each batch of one partition becomes one shard."""

from __future__ import annotations

import logging
import re
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.chain import ManifestChain
from kaption.objectstore.dataset.shard import EXTENSIONS, ShardSample
from kaption.objectstore.store import ObjectStore
from kaption.schemas import CleanPair, Position, Reason
from kaption.schemas.topics import CLEAN
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.runtime.stage import Batching, Dead, Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.stages.images import stored_bytes
from kaption.workers.stages.sink.spool import ImageSpool, SpooledImage
from kaption.workers.stages.sink.writer import ShardWriter

UNCOMMITTED_SHARDS = 16
"""If more shards than this start past the committed offset, the group's offsets were lost."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What `prepare` returns for one record."""

    file: SpooledImage | None
    """The image on disk; None where the record's shard is written already."""
    bytes: int
    """Size of the image and the record's JSON together."""


class SinkStage(Stage[CleanPair, PreparedImage]):
    """Writes a tar and a Parquet table, then the manifest that makes them a shard of the dataset.

    `kaption.objectstore.dataset` describes the keys and formats. The manifest is the commit:
    readers list manifests only. Before it is written, the batch has changed nothing. Afterwards the
    records are in the dataset for good, in this shard or in one into which it is merged, and a
    worker that gets them again only recognises them.

    A sink that finds another sink's manifest in the place of its own deletes its own objects. It
    writes the records that lie past the end of the other shard as the next shard.

    A blob is stored before any record names it, and only a takedown deletes it. So all sinks that
    get the same records agree on which images are missing (rejected as blob_missing).

    It has no probe: `prepare` finds every fault of a record, so an error of `process` is not that
    of a record.
    """

    name = "sink"
    inputs = (CLEAN,)
    outputs = ()

    def __init__(
        self,
        policy: SinkPolicy,
        objects: ObjectStore,
        blobs: BlobStore,
        *,
        now: Callable[[], datetime],
        writer: str | None = None,
    ) -> None:
        """`writer` must be unique to this object. None: the host name and random digits."""
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
        self.first_chain = 0
        """Added to a partition's number in the dataset: each attempt of `kaption run` has topics,
        and so chains of shards, of its own."""

    @property
    def batching(self) -> Batching:
        """One batch is one shard."""
        return Batching(
            max_records=self._policy.shard_records,
            max_wait_s=self._policy.shard_age_s,
            max_bytes=self._policy.shard_bytes,
            per_partition=True,
        )

    def setup(self) -> None:
        """Make the folder for images on local disk. Raises Fatal where that fails."""
        try:
            self._spool.open()
        except OSError as error:
            raise Fatal(f"cannot make a folder for images: {error}; correct sink.spool") from error

    def resume(
        self, topic: str, partition: int, committed: int, topic_id: str | None = None
    ) -> int:
        """Read where the chain of manifests ends; return the offset to start from.

        That is the committed offset. Records between it and the end of the chain are in a shard,
        but their offsets were not committed to Kafka. They are read again so that the rejected ones
        among them get their outcome; the others are recognised without reading their images. If
        more than `UNCOMMITTED_SHARDS` start past the committed offset, the group's offsets were
        lost, and reading starts at the end of the chain. Raises Fatal where the chain is of another
        topic, or of an earlier one of the same name.
        """
        partition += self.first_chain
        if not self._store_tried:
            self._writer.try_store(self._spool.folder)
            # Of all partitions: one that has no shards yet must not begin a second topic here.
            self._chain.check_all(topic, topic_id, self.first_chain)
            self._store_tried = True
        starts = self._chain.starts(partition, committed)
        last = self._chain.read(partition, starts[-1]) if starts else None
        if last is not None:
            self._chain.check(last, topic, topic_id)
            if last.topic_id is None and topic_id is not None:
                self._chain.take_topic(last, topic_id)
        end = self._advance(partition, self._chain.end_from(partition, starts[-1] if starts else 0))
        written = set(starts)
        if self._chain.floor(partition) > committed:
            written |= self._chain.merged_starts(partition)
        if sum(start >= committed for start in written) > UNCOMMITTED_SHARDS:
            _log.warning(
                "the committed offset is far behind the shards, so reading starts at their end",
                extra={"partition": partition, "committed": committed, "start": end},
            )
            return end
        return committed

    def prepare(self, message: Incoming[CleanPair]) -> PreparedImage:
        """Fetch the image to local disk, unless its shard is written already."""
        blob, position = message.record.image.blob, self._place(message)
        if blob.media_type not in EXTENSIONS:
            raise Dead(f"no file name for media type {blob.media_type}")
        if position.offset < self._end(position.partition):
            if not self._blobs.exists(blob):
                raise Reject(Reason.BLOB_MISSING, blob.sha256)
            return PreparedImage(None, 0)
        data = stored_bytes(self._blobs, blob)
        try:
            file = self._spool.add(data)
        except OSError as error:
            raise Retry(f"spool: {error}; sink.spool has no room for a shard") from error
        return PreparedImage(file, len(data) + len(message.record.model_dump_json()))

    def size_of(self, message: Incoming[CleanPair], prepared: PreparedImage) -> int:
        """Return the bytes that the record adds to the tar, without the tar's headers."""
        return prepared.bytes

    def process(
        self, batch: Sequence[tuple[Incoming[CleanPair], PreparedImage]]
    ) -> Sequence[Outcome]:
        """Write the records that no shard holds yet as one shard.

        If another sink was faster, write the records past the end of its shard, until none is left.
        """
        first = self._place(batch[0][0])
        while True:
            end = self._end(first.partition)
            todo = [
                ShardSample(self._place(message), message.record, image.file.path)
                for message, image in batch
                if message.position.offset >= end and image.file is not None
            ]
            if not todo:
                return [Emit(())] * len(batch)
            written = self._writer.write(self._spool.folder, end, todo)
            self._advance(first.partition, written)

    def ready(self) -> str | None:
        """Return None when the store answers, else what is wrong."""
        return self._objects.ready()

    def close(self) -> None:
        """Delete the local files."""
        self._spool.close()

    def _place(self, message: Incoming[CleanPair]) -> Position:
        at = message.position
        return replace(at, partition=at.partition + self.first_chain)

    def _end(self, partition: int) -> int:
        return self._ends.get(partition, 0)

    def _advance(self, partition: int, end: int) -> int:
        # A chain only grows. `resume` and `process` run in different threads and may both read its
        # end at the same time, so the greater one holds.
        with self._lock:
            self._ends[partition] = max(end, self._end(partition))
            return self._ends[partition]


def _unique_writer() -> str:
    host = re.sub(r"[^A-Za-z0-9.=-]", "-", socket.gethostname())[:60]
    return f"{host}-{uuid.uuid4().hex[:12]}"
