"""The sink's manifests of each partition, as a chain that a sink appends to.

The first manifest of a partition starts at offset 0, every other one where the one before ends. So
all sinks that know the same chain give their next manifest the same key, and the store lets only
one of them write it. This keeps a late sink out, whichever records it holds.

Compaction merges shards and later removes their manifests. A sink that still knows the old end of
the chain could write a removed manifest again. So compaction first raises the partition's floor,
and a manifest that starts below the floor is no part of the chain. Whoever reads or writes a
manifest therefore looks at the floor afterwards.
"""

from __future__ import annotations

from pydantic import ValidationError

from kaption.connections.errors import Fatal, Retry
from kaption.objectstore.dataset.index import last_starts, starts_from
from kaption.objectstore.dataset.layout import Layout, number_of
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.store import ObjectStore
from kaption.schemas import Manifest
from kaption.schemas.record import differ
from kaption.schemas.wire import explain


class ManifestChain:
    """The chains of the dataset at `prefix`.

    A manifest accounts for every offset in [start, end), also for those without a sample:
    transaction markers, records that Kafka compacted, and rejected ones.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._layout = Layout(prefix)

    def starts(self, partition: int, first: int) -> list[int]:
        """Return the starts of the sink's manifests from `first` on, and of the last, ascending."""
        return starts_from(self._objects, self._layout, partition, first)

    def merged_starts(self, partition: int) -> set[int]:
        """Return the starts of the sink's shards that compaction merged.

        Reads every merged manifest.
        """
        keys = list(self._objects.list(self._layout.merged_manifests(partition)))
        return {
            start for manifest in filter(None, map(self._read, keys)) for start in manifest.parts
        }

    def read(self, partition: int, start: int) -> Manifest | None:
        """Return the manifest that starts there, or None. Raises Fatal if it cannot be parsed."""
        return self._read(self._layout.manifest(partition, start))

    def check_all(self, topic: str, topic_id: str | None, first: int = 0) -> None:
        """Run `check` on the sink's last manifest of each partition from number `first` on."""
        for partition, start in last_starts(self._objects, self._layout.prefix).items():
            if partition >= first and (manifest := self.read(partition, start)) is not None:
                self.check(manifest, topic, topic_id)

    def check(self, manifest: Manifest, topic: str, topic_id: str | None) -> None:
        """Raise Fatal where the manifest is of another topic: its offsets are other messages."""
        prefix = self._layout.prefix
        if manifest.topic != topic:
            raise Fatal(
                f"sink.prefix {prefix!r} holds shards of topic {manifest.topic}, not of {topic}: "
                "give each topic a prefix of its own"
            )
        if differ(manifest.topic_id, topic_id):
            raise Fatal(
                f"sink.prefix {prefix!r} holds shards of an earlier topic {topic} (id "
                f"{manifest.topic_id}), which was deleted and created again (id {topic_id}): give "
                "sink.prefix a new value, and the new topic is written there from its start"
            )

    def take_topic(self, manifest: Manifest, topic_id: str) -> None:
        """Note the topic's id in a manifest of an older version, which names none."""
        named = manifest.model_copy(update={"topic_id": topic_id})
        self._objects.put(self._layout.key_of(manifest), encoded(named))

    def commit(self, manifest: Manifest) -> Manifest:
        """Write the manifest unless one with its start exists; return the one that is stored.

        A repeated request finds the manifest that it wrote: with the same writer and objects.
        Raises Fatal where the stored one is of another topic.
        """
        key = self._layout.manifest(manifest.partition, manifest.start)
        if self._objects.put_if_absent(key, encoded(manifest)):
            return manifest
        found = self.read(manifest.partition, manifest.start)
        if found is None:
            raise Retry(f"{key} was there and is gone")
        self.check(found, manifest.topic, manifest.topic_id)
        return found

    def floor(self, partition: int) -> int:
        """Return the offset below which manifests may have been removed; a manifest ends at it."""
        keys = self._objects.list(self._layout.floors(partition))
        return max(map(number_of, keys), default=0)

    def discard(self, manifest: Manifest) -> None:
        """Delete a manifest that was written below the floor."""
        self._objects.delete(self._layout.manifest(manifest.partition, manifest.start))

    def end_from(self, partition: int, start: int) -> int:
        """Follow the chain from a manifest's start; return its end, or `start` if none is there."""
        while True:
            end = start
            while (manifest := self.read(partition, end)) is not None:
                end = manifest.end
            floor = self.floor(partition)
            if floor <= start:
                return end
            start = floor

    def _read(self, key: str) -> Manifest | None:
        try:
            data = self._objects.get(key)
        except KeyError:
            return None
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            raise Fatal(
                f"{key} is {explain(error, Manifest)}; restore it, or write to another sink.prefix"
            ) from error
