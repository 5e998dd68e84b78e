"""Shards and the id of their topic: streams, compaction, and the count of a takedown."""

from itertools import islice
from pathlib import Path

import pytest

from kaption.connections.settings import StoreConnection
from kaption.consumers import ShardOptions, ShardStream
from kaption.consumers.shards.index import ShardError
from kaption.objectstore.dataset.layout import Layout
from kaption.objectstore.dataset.manifests import encoded, read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Position
from kaption.workers.settings import Settings
from kaption.workers.takedown.removal import samples_in_shards
from support.compacting import compact, retire_all
from support.stream_records import write_chains

pytestmark = pytest.mark.slow
OLD, NEW = "a" * 22, "b" * 22


@pytest.fixture
def objects(tmp_path: Path) -> FolderStore:
    objects = FolderStore(tmp_path / "store")
    write_chains(objects, tmp_path, {0: [[0, 1], [2, 3], [4]], 1: [[0], [1, 2]]})
    return objects


def name(objects: FolderStore, topic_id: str | None, since: int = 0) -> None:
    """Have the manifests from the offset on name the topic id."""
    for each in read_manifests(objects, "dataset"):
        if each.start >= since:
            named = each.model_copy(update={"topic_id": topic_id})
            objects.put(Layout("dataset").key_of(each), encoded(named))


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("given", [1, 4])
def test_a_stream_is_not_resumed_in_shards_of_another_topic(objects, given, follow):
    # Given the state of a stream after some samples
    name(objects, OLD)
    stream = ShardStream(objects, options=ShardOptions(follow=follow))
    samples = iter(stream)
    assert len(list(islice(samples, given))) == given
    state = stream.state_dict()
    # When the shards are those of another topic, then it does not go on
    name(objects, NEW)
    stream.load_state_dict(state)
    with pytest.raises(ShardError, match=f"id {NEW}, not {OLD}"):
        next(iter(stream))
    # And without the state all are given
    fresh = iter(ShardStream(objects, options=ShardOptions(follow=follow)))
    assert len(list(islice(fresh, 8))) == 8


@pytest.mark.parametrize(("before", "after"), [(None, NEW), (OLD, None), (OLD, OLD)])
def test_an_id_that_is_not_known_is_no_difference_to_a_stream(objects, before, after):
    name(objects, before)
    stream = ShardStream(objects)
    next(iter(stream))
    state = stream.state_dict()
    name(objects, after)
    stream.load_state_dict(state)
    assert len(list(stream)) == 7


@pytest.mark.parametrize("since", [0, 4])
def test_merged_shards_keep_the_topic_id(objects, since):
    # Given shards of which the last ones name the topic's id, the earlier ones perhaps not
    name(objects, OLD, since)
    # When they are merged
    compact(objects)
    retire_all(objects)
    # Then the merged one names it, and a stream knows it
    ids = {each.partition: each.topic_id for each in read_manifests(objects, "dataset")}
    assert ids == {0: OLD, 1: OLD if since == 0 else None}


def test_a_takedown_counts_the_samples_of_its_own_topic_only(objects, tmp_path):
    settings = Settings(store=StoreConnection(url=str(tmp_path / "store")))

    def count(*topic_ids: str | None) -> int:
        return samples_in_shards(
            settings, [Position("pairs.clean", 0, 1, topic_id) for topic_id in topic_ids]
        )

    assert count(OLD, NEW, None) == 3
    name(objects, OLD)
    assert count(OLD, NEW, None) == 2
    assert samples_in_shards(settings, [Position("pairs.clean", 0, 5, OLD)]) == 0
    assert samples_in_shards(settings, [Position("pairs.clean", 7, 0, OLD)]) == 0
