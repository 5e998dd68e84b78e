"""The keys of a dataset. Every key is made here and parsed here, and nowhere else.

Below the dataset's prefix lie

    data/{partition}/{start}-{end}-{writer}-{digest}.tar  a shard's samples; .parquet: its table;
                                                          .json: its counters
    manifest/{partition}/{start}.json                     manifest of a shard that the sink wrote
    merged/{partition}/{generation}.json                  manifest of a shard that compaction wrote
    floor/{partition}/{offset}                            see `Layout.floor`
    checkpoint/{partition}/{number}.parquet               what a partition's manifests say
    pairs/{partition}/{start}-{end}-{digest}.parquet      which pairs lie at which offsets
    versions/{partition}/{end}-{digest}.parquet           replaced samples, and higher versions
    rules/{partition}/{start}-{end}-{rows}-{digest}.bin  which shards a takedown may cover
    pins/{name}.json                                      a version whose shards compaction keeps
    takedown/{id}.json                                    a takedown
    takedown-left/{run}.json                              what a takedown has yet to remove
    takedown-lifted/{id}.json                             a takedown that was lifted
    counts/{partition}.json                               counters of a partition's shards
    refusals.json                                         counters of rejected pairs
    README.md, croissant.json, sources.json, sources.md   what `kaption sources --write` tells
    probe/{writer}                                        written and deleted when a sink starts

Numbers are zero-padded, so keys list in the order of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kaption.schemas import Takedown

TARS = "data/*/*.tar"
TABLES = "data/*/*.parquet"
"""Patterns of a dataset's data objects, for programs that know no manifests."""


class Placed(Protocol):
    """What has a manifest's place: the manifest, or its entry in a checkpoint."""

    @property
    def partition(self) -> int:
        """The number of the partition of pairs.clean."""

    @property
    def start(self) -> int:
        """The first offset of the shard."""

    @property
    def end(self) -> int:
        """First offset after the shard."""

    @property
    def generation(self) -> int:
        """How often the shard was merged; 0 for a manifest of the sink."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of the dataset at `prefix`, as the object store knows them.

    Methods in the plural give the beginning of all keys of a kind, for a listing.
    """

    prefix: str

    def __post_init__(self) -> None:
        """Raise ValueError for a prefix with a slash at an end: no key would be found."""
        if self.prefix != self.prefix.strip("/"):
            raise ValueError(
                f"the prefix of a data set is {self.prefix!r}: write {self.prefix.strip('/')!r}"
            )

    def object(self, key: str) -> str:
        """The data object that a manifest calls `key`: manifests name keys below the prefix."""
        return f"{self._root}{key}"

    def objects(self) -> str:
        """All data objects."""
        return f"{self._root}data/"

    def manifest(self, partition: int, start: int) -> str:
        """The sink's manifest of the shard that starts at offset `start`."""
        return f"{self.manifests(partition)}{start:020d}.json"

    def manifests(self, partition: int | None = None) -> str:
        """The sink's manifests, of one partition or of all."""
        return f"{self._root}manifest/{_folder(partition)}"

    def merged(self, partition: int, generation: int) -> str:
        """Compaction's manifest of that generation.

        The generation is the key, because a later merge has a greater one: a listing that has
        already passed a manifest still comes to the manifest that replaces it.
        """
        return f"{self.merged_manifests(partition)}{generation:010d}.json"

    def merged_manifests(self, partition: int | None = None) -> str:
        """Compaction's manifests, of one partition or of all."""
        return f"{self._root}merged/{_folder(partition)}"

    def key_of(self, manifest: Placed) -> str:
        """The key of a manifest of either kind."""
        if manifest.generation:
            return self.merged(manifest.partition, manifest.generation)
        return self.manifest(manifest.partition, manifest.start)

    def floor(self, partition: int, offset: int) -> str:
        """An object that says: manifests of the sink below `offset` may have been removed."""
        return f"{self.floors(partition)}{offset:020d}"

    def floors(self, partition: int) -> str:
        """The floors of one partition; the highest holds."""
        return f"{self._root}floor/{_folder(partition)}"

    def checkpoint(self, partition: int, number: int) -> str:
        """A checkpoint; see `kaption.objectstore.dataset.checkpoint`. The highest number holds."""
        return f"{self.checkpoints(partition)}{number:010d}.parquet"

    def checkpoints(self, partition: int | None = None) -> str:
        """The checkpoints, of one partition or of all."""
        return f"{self._root}checkpoint/{_folder(partition)}"

    def pairs(self, partition: int, start: int, end: int, digest: str) -> str:
        """Which pairs lie at offsets [start, end); see `pair_rows`."""
        return f"{self.all_pairs()}{_folder(partition)}{start:020d}-{end:020d}-{digest}.parquet"

    def all_pairs(self) -> str:
        """The objects with the pairs of all partitions."""
        return f"{self._root}pairs/"

    def versions(self, partition: int, end: int, digest: str) -> str:
        """Replaced samples below `end`, or higher versions; see `PartitionCheckpoint`."""
        return f"{self.all_versions()}{_folder(partition)}{end:020d}-{digest}.parquet"

    def all_versions(self) -> str:
        """The objects with replaced samples or higher versions of all partitions."""
        return f"{self._root}versions/"

    def rules(self, partition: int, start: int, end: int, rows: int, digest: str) -> str:
        """Which shards at offsets [start, end) a rule may cover; see `rule_rows`."""
        place = f"{start:020d}-{end:020d}-{rows}"
        return f"{self.all_rules()}{_folder(partition)}{place}-{digest}.bin"

    def all_rules(self) -> str:
        """The objects that say which shards a rule may cover, of all partitions."""
        return f"{self._root}rules/"

    def pin(self, name: str) -> str:
        """A pin; see `kaption.objectstore.dataset.pins`."""
        return f"{self.pins()}{name}.json"

    def pins(self) -> str:
        """All pins."""
        return f"{self._root}pins/"

    def takedown(self, takedown: Takedown) -> str:
        """A takedown."""
        return f"{self.takedowns()}{takedown.takedown_id}.json"

    def takedowns(self) -> str:
        """All takedowns."""
        return f"{self._root}takedown/"

    def takedown_left(self, run: str) -> str:
        """What the run of a takedown has found and not yet removed."""
        return f"{self.takedowns_left()}{run}.json"

    def takedowns_left(self) -> str:
        """What all runs have left. Not below `takedowns`, where readers expect nothing else."""
        return f"{self._root}takedown-left/"

    def takedown_lifted(self, takedown: Takedown) -> str:
        """A takedown that a person lifted. If it is stored as a takedown as well, that holds."""
        return f"{self.takedowns_lifted()}{takedown.takedown_id}.json"

    def takedowns_lifted(self) -> str:
        """All takedowns that were lifted."""
        return f"{self._root}takedown-lifted/"

    def partition_counts(self, partition: int) -> str:
        """The counters of a partition's shards."""
        return f"{self.counts()}{partition:05d}.json"

    def counts(self) -> str:
        """The counters of all partitions."""
        return f"{self._root}counts/"

    def refusals(self) -> str:
        """The counters of rejected pairs."""
        return f"{self._root}refusals.json"

    def described(self, name: str) -> str:
        """A file that describes the dataset for people and other programs."""
        return f"{self._root}{name}"

    def probe(self, writer: str) -> str:
        """An object with which a sink tries whether the store refuses a second write."""
        return f"{self._root}probe/{writer}"

    @property
    def _root(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""


def shard_stem(partition: int, start: int, end: int, writer: str) -> str:
    """How the keys of a shard's objects begin, below the prefix; see `build_shard`."""
    return f"data/{_folder(partition)}{start:020d}-{end:020d}-{writer}"


def number_of(key: str) -> int:
    """The number that ends a key: a manifest's start or generation, a floor's offset."""
    return int(_name(key).removesuffix(".parquet"))


def partition_of(key: str) -> int:
    """The partition in the key of a manifest or floor."""
    return int(key.split("/")[-2])


def span_of(key: str) -> tuple[int, int, int]:
    """The partition, the start and the end in the key of a shard's object."""
    start, end, _ = _name(key).split("-", 2)
    return partition_of(key), int(start), int(end)


def rules_place_of(key: str) -> tuple[int, int, int]:
    """Start, end and number of rows in a key of `Layout.rules`."""
    start, end, rows, _ = _name(key).split("-")
    return int(start), int(end), int(rows)


def pin_name_of(key: str) -> str:
    """The name in a pin's key."""
    return _name(key)


def takedown_id_of(key: str) -> str:
    """The id in a takedown's key."""
    return _name(key)


def _folder(partition: int | None) -> str:
    return "" if partition is None else f"{partition:05d}/"


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
