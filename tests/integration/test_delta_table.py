"""`kaption table`: one Delta table of the shards, read by engines that are not ours."""

import re
from concurrent.futures import ThreadPoolExecutor
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
from kaption.workers.delta_table import PublishedTable, publish
from support.compacting import compact, retire_all
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
