"""A stream of shards leaves out old versions, takedowns and damage, and waits for its store."""

import logging

import pytest
from torchdata.stateful_dataloader import StatefulDataLoader

from kaption.connections.errors import Retry
from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import ShardError
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import TakedownKind
from support.stream_records import ALL, named, pair_ids, take_down, write_shards

pytestmark = pytest.mark.slow


def tar_keys(objects) -> list[str]:
    return [f"dataset/{each.objects[0].key}" for each in read_manifests(objects, "dataset")]


def test_only_the_latest_version_is_given(objects, tmp_path):
    # Given versions of one pair in one shard and in another, and an older one that came last
    blobs = BlobStore(objects)
    versions = [(0, 1), (1, 2), (5, 4), (6, 3)]
    messages = [named(blobs, o, 0, pair_id="same", version=version) for o, version in versions]
    write_shards(objects, tmp_path, [[*messages[:2], named(blobs, 2, 0)], messages[2:]])

    # When
    stream = ShardStream(objects)
    found = {(sample.pair.pair_id, sample.pair.version) for sample in stream}

    # Then
    assert found == {("same", 4), ("0-2", 1)}
    assert stream.skipped == {"replaced": 3}
    assert len(list(ShardStream(objects, options=ShardOptions(latest=False)))) == 5


def test_a_pair_taken_down_while_in_the_buffer_is_left_out(dataset):
    # Given a stream that holds all samples in its buffer
    take_down(dataset, TakedownKind.PAIR, "0-4")
    stream = ShardStream(dataset, options=ShardOptions(takedown_s=0))
    running = iter(stream)
    first = next(running)
    left = next(name for name in ALL if name not in (first.pair.pair_id, "0-4"))

    # When another is taken down
    take_down(dataset, TakedownKind.PAIR, left)

    # Then
    found = [first.pair.pair_id, *pair_ids(running)]
    assert sorted(found) == [name for name in ALL if name not in ("0-4", left)]
    assert stream.skipped == {"taken_down": 2}


def test_damaged_objects_are_left_out_and_reported_once(dataset, caplog):
    # Given one tar with a changed byte, one that is short, and one that is gone
    changed, short, gone = tar_keys(dataset)[:3]
    data = dataset.get(changed)
    dataset.put(changed, data[:600] + bytes([data[600] ^ 1]) + data[601:])
    dataset.put(short, dataset.get(short)[:-512])
    dataset.delete(gone)
    told: list[str] = []

    # When
    options = ShardOptions(on_damage=lambda key, what: told.append(key))
    stream = ShardStream(dataset, options=options)
    with caplog.at_level(logging.WARNING):
        found = pair_ids(stream)

    # Then all of partition 0 is missing, and nothing else
    assert sorted(found) == [name for name in ALL if not name.startswith("0-")]
    keys = sorted(key.removeprefix("dataset/") for key in (changed, short, gone))
    assert sorted(told) == sorted(stream.damaged) == keys
    assert stream.damaged[gone.removeprefix("dataset/")] == "missing"
    assert len([each for each in caplog.records if "is left out" in each.message]) == 3


def test_a_worker_s_state_names_damaged_objects(dataset):
    dataset.delete(tar_keys(dataset)[0])
    loader = StatefulDataLoader(ShardStream(dataset), 2, num_workers=1, collate_fn=pair_ids)
    list(loader)
    (worker,) = loader.state_dict()["_snapshot"]["_worker_snapshots"].values()
    ((key, what),) = worker["dataset_state"]["damaged"]
    assert (f"dataset/{key}", what) == (tar_keys(dataset)[0], "missing")


@pytest.mark.parametrize(("start", "end"), [(0, 3), (3, 6)])
def test_a_gap_in_a_chain_is_an_error_that_names_it(dataset, start, end):
    dataset.delete(Layout("dataset").manifest(0, start))
    with pytest.raises(ShardError, match=f"partition 0: .* offsets {start} to {end}: restore"):
        list(ShardStream(dataset))


def test_a_stream_waits_for_a_store_that_is_down_for_a_while(dataset, tmp_path):
    class Away(FolderStore):
        calls = 0

        def get(self, key: str) -> bytes:
            Away.calls += 1
            if Away.calls % 9 == 0:
                raise Retry("away")
            return super().get(key)

    assert sorted(pair_ids(ShardStream(Away(tmp_path / "store")))) == ALL
    assert Away.calls > 9
