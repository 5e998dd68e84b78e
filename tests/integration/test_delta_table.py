"""`kaption table`: one Delta table of the shards, read by engines that are not ours."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars
import pytest
from deltalake import DeltaTable

from kaption.connections.errors import Fatal
from kaption.connections.settings import StoreConnection
from kaption.objectstore import ObjectStore, open_store
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.checkpoint import (
    PartitionCheckpoint,
    ShardEntry,
    encoded_checkpoint,
)
from kaption.objectstore.dataset.layout import Layout, shard_stem
from kaption.objectstore.dataset.manifests import encoded
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Manifest, ShardObject
from kaption.workers.delta_table import PublishedTable, publish
from support.compacting import compact, retire_all
from support.sink_records import manifest, now
from support.stream_records import named, write_chains, write_shards

STORES = ["folder", pytest.param("s3", marks=pytest.mark.integration)]


class Dataset:
    """A dataset that grows in a store of either kind."""

    def __init__(self, connection: StoreConnection, spool: Path, options: dict[str, str]) -> None:
        self.connection = connection
        self.objects: ObjectStore = open_store(connection)
        self.options = options
        self._spool = spool

    def write(self, *offsets: int) -> None:
        """Append a shard of pairs that are named by their offsets."""
        write_chains(self.objects, self._spool, {0: [offsets]})

    def publish(self) -> PublishedTable:
        return publish(self.connection, "dataset")

    def rows(self, done: PublishedTable, version: int | None = None) -> list[str]:
        """The pair_ids as polars reads them, which asks nothing of Kaption."""
        found = polars.scan_delta(done.uri, version=version, storage_options=self.options)
        return sorted(found.select("pair_id").collect()["pair_id"].to_list())


@pytest.fixture(params=STORES)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    if request.param == "folder":
        return Dataset(StoreConnection(url=str(tmp_path / "store")), tmp_path, {})
    connection: StoreConnection = request.getfixturevalue("s3").connection("team")
    assert connection.endpoint is not None
    assert connection.access_key is not None
    assert connection.secret_key is not None
    options = {
        "AWS_ENDPOINT_URL": connection.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": connection.access_key,
        "AWS_SECRET_ACCESS_KEY": connection.secret_key.get_secret_value(),
        "AWS_REGION": connection.region,
    }
    return Dataset(connection, tmp_path, options)


def test_the_table_follows_the_shards_and_an_earlier_version_can_be_read_again(
    dataset: Dataset,
) -> None:
    # Given a dataset that was published, grew, and was published again
    dataset.write(0, 1)
    first = dataset.publish()
    dataset.write(2, 3)
    second = dataset.publish()
    # Then each version has its rows, and nothing new makes no version
    assert (second.added, second.shards, second.rows) == (1, 2, 4)
    assert dataset.rows(first, first.version) == ["0-0", "0-1"]
    assert dataset.rows(second) == ["0-0", "0-1", "0-2", "0-3"]
    assert dataset.publish().version == second.version


def test_a_merged_shard_takes_the_place_of_those_that_went_into_it(dataset: Dataset) -> None:
    # Given three small shards in the table
    for offsets in ((0, 1), (2,), (3, 4)):
        dataset.write(*offsets)
    before = dataset.publish()
    # When they are merged, and removed after the table follows
    compact(dataset.objects)
    after = dataset.publish()
    retire_all(dataset.objects)
    # Then the table has the same rows, once each
    assert (after.added, after.removed, after.shards) == (1, 3, 1)
    assert dataset.rows(after) == ["0-0", "0-1", "0-2", "0-3", "0-4"]
    assert after.rows == before.rows


def test_publishers_that_race_name_each_shard_once(dataset: Dataset) -> None:
    for number in range(6):
        dataset.write(number)
    with ThreadPoolExecutor(4) as pool:
        published = list(pool.map(lambda _: dataset.publish(), range(4)))
    assert dataset.rows(published[0]) == [f"0-{number}" for number in range(6)]
    assert {each.shards for each in published} == {6}


class CountingStore(FolderStore):
    """Counts the manifests that are read."""

    read = 0

    def get(self, key: str) -> bytes:
        self.read += "/manifest/" in key
        return super().get(key)


def shard(start: int) -> Manifest:
    """Make the manifest of a shard with one row, whose table is in no store."""
    key = f"{shard_stem(0, start, start + 1, 'w')}-0.parquet"
    table = ShardObject(key=key, format="parquet", bytes=1, sha256="0" * 64)
    return manifest(start, start + 1, objects=(table,))


@pytest.mark.parametrize("shards", [20, 200])
def test_a_longer_table_reads_no_more_manifests_to_follow(
    shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a published data set whose checkpoint knows all shards but five
    store, layout = CountingStore(tmp_path), Layout("dataset")
    monkeypatch.setattr("kaption.workers.delta_table.open_store", lambda _: store)
    manifests = [shard(start) for start in range(shards)]
    for each in manifests:
        store.put(layout.key_of(each), encoded(each))
    known = manifests[:-5]
    head = PartitionCheckpoint(number=1, last=known[-1].start)
    checkpoint = encoded_checkpoint(head, [ShardEntry.of(each) for each in known])
    store.put(layout.checkpoint(0, 1), checkpoint)
    assert publish(StoreConnection(url=str(tmp_path)), "dataset").added == shards
    # When two shards came
    for start in (shards, shards + 1):
        store.put(layout.manifest(0, start), encoded(shard(start)))
    store.read = 0
    done = publish(StoreConnection(url=str(tmp_path)), "dataset")
    # Then those that the checkpoint does not know are read, and the two once more for their keys
    assert (done.added, done.removed, done.rows) == (2, 0, shards + 2)
    assert store.read == 5 + 2 + 2


def test_a_commit_of_many_shards_is_not_read_by_later_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a table whose first commit has more shards than Delta is to read again
    monkeypatch.setattr("kaption.workers.delta_table._MANY", 6)
    dataset = Dataset(StoreConnection(url=str(tmp_path / "store")), tmp_path, {})
    for number in range(6):
        dataset.write(number)
    first = dataset.publish()
    # When that commit names no shards any more, and another shard comes
    log = tmp_path / "store" / "dataset" / "_delta_log"
    (log / f"{first.version:020d}.json").write_text('{"commitInfo":{"timestamp":0}}\n')
    dataset.write(6)
    done = dataset.publish()
    # Then its shards are known from a checkpoint, of which a small commit writes no other one
    assert (done.added, done.removed, done.shards) == (1, 0, 7)
    assert dataset.rows(done) == [f"0-{number}" for number in range(7)]
    assert len(list(log.glob("*.checkpoint.parquet"))) == 1


def test_a_checkpoint_that_names_a_removed_manifest_stops_no_publisher(tmp_path: Path) -> None:
    # Given a merge by a compactor that removed what an older checkpoint still names
    store, layout = FolderStore(tmp_path), Layout("dataset")
    first, second = shard(0), shard(1)
    checkpoint = encoded_checkpoint(PartitionCheckpoint(number=1, last=0), [ShardEntry.of(first)])
    store.put(layout.checkpoint(0, 1), checkpoint)
    store.put(layout.key_of(second), encoded(second))
    # When the table is published
    done = publish(StoreConnection(url=str(tmp_path)), "dataset")
    # Then it names the shards that are there
    assert (done.added, done.shards, done.rows) == (1, 1, 1)


def test_a_shard_that_was_written_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    # Given a shard that compaction wrote again, of the same offsets and size
    store, layout = FolderStore(tmp_path), Layout("dataset")
    store.put(layout.manifest(0, 0), encoded(shard(0)))
    before = publish(StoreConnection(url=str(tmp_path)), "dataset")
    key = f"{shard_stem(0, 0, 1, 'compactor')}-0.parquet"
    table = ShardObject(key=key, format="parquet", bytes=1, sha256="1" * 64)
    later = now() + timedelta(seconds=1)
    again = manifest(0, 1, generation=1, parts=(0,), created_at=later, objects=(table,))
    store.put(layout.key_of(again), encoded(again))
    # When the table follows
    done = publish(StoreConnection(url=str(tmp_path)), "dataset")
    # Then it names the second one alone
    assert (done.added, done.removed, done.shards) == (1, 1, 1)
    assert DeltaTable(before.uri).file_uris() == [str(tmp_path / "dataset" / key)]


def test_the_documented_sql_finds_the_newest_version_of_each_pair(tmp_path: Path) -> None:
    # Given a pair with a second version
    dataset = Dataset(StoreConnection(url=str(tmp_path / "store")), tmp_path, {})
    dataset.write(0, 1)
    newer = named(BlobStore(dataset.objects), 2, 0, pair_id="0-0", version=2)
    write_shards(dataset.objects, tmp_path, [[newer]])
    # When it is selected as docs/output.md says
    (query,) = re.findall(r"```sql\n(.*?)```", Path("docs/output.md").read_text(), re.DOTALL)
    pairs: Any = DeltaTable(dataset.publish().uri).to_pyarrow_dataset()
    with duckdb.connect() as engine:
        found: Any = engine.register("pairs", pairs).sql(query)
        newest = found.select("pair_id, version").fetchall()
    # Then only that version of the pair is found
    assert sorted(newest) == [("0-0", 2), ("0-1", 1)]


def test_no_shards_and_a_store_that_deltalake_cannot_reach_are_told(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"no shards below .*look at sink\.prefix"):
        publish(StoreConnection(url=str(tmp_path / "store")), "dataset")
    with pytest.raises(Fatal, match=r"unset store\.ca_file"):
        publish(StoreConnection(url="s3://bucket", ca_file="/ca.pem"), "dataset")
