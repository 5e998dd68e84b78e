"""Compaction leaves out replaced versions and what is taken down, and brings nothing back."""

from dataclasses import replace
from typing import Any

import pytest

from kaption.consumers import ShardOptions, ShardStream
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.merged import MergedManifests
from kaption.schemas import CleanPair, ImageRef, TakedownKind, TextSource
from kaption.workers.compaction import Limits
from support.compacting import compact, ranges, retire_all
from support.sink_records import offsets_in, stored
from support.stream_records import named, pair_ids, take_down, write_chains, write_shards

pytestmark = pytest.mark.slow
URL = "https://cdn.example.org/dog.jpg"
NONE_SMALL = Limits(below=1, to=1, records=1)


def test_a_version_is_left_out_if_a_later_one_is_anywhere_in_the_partition(objects, tmp_path):
    # Given versions in small shards and in a large one, and an older version that came last
    blobs = BlobStore(objects)

    def version(offset, number, name="same"):
        return named(blobs, offset, 0, pair_id=name, version=number)

    large = [named(blobs, offset, 0) for offset in range(10, 30)]
    shards = [
        [version(0, 1), version(1, 1, "other")],
        [version(2, 2)],
        [*large, version(30, 4), version(31, 2, "other")],
        [version(32, 3)],
        [version(33, 1, "third")],
    ]
    write_shards(objects, tmp_path, shards)

    # When
    done = compact(objects, Limits(below=30_000, to=1 << 30, records=1000))

    # Then only the latest are in what was merged
    assert done.dropped == {"replaced": 4}
    assert offsets_in(objects) == [*range(10, 32), 33]
    assert ranges(objects) == [(0, 0, 3), (0, 3, 32), (0, 32, 34)]
    assert {(s.pair.pair_id, s.pair.version) for s in ShardStream(objects)} >= {
        *[("same", 4), ("other", 2), ("third", 1)]
    }


def test_a_large_shard_is_written_anew_without_what_is_taken_down(objects, tmp_path):
    # Given two large shards, one of which has a pair that is taken down
    write_chains(objects, tmp_path, {0: [list(range(20)), list(range(20, 40))]})
    take_down(objects, TakedownKind.PAIR, "0-5")

    # When
    done = compact(objects, NONE_SMALL)
    retire_all(objects)

    # Then no object holds it
    assert (done.before, done.after, done.dropped) == (1, 1, {"taken down": 1})
    assert offsets_in(objects) == [offset for offset in range(40) if offset != 5]
    assert all(b"0-5" not in objects.get(key) for key in objects.list("dataset/data/"))
    assert compact(objects, NONE_SMALL).before == 0


def test_a_pair_goes_with_the_copy_that_its_caption_came_from(objects, tmp_path):
    # Given a pair whose second caption is the alt text of a copy on another page
    blobs = BlobStore(objects)
    pairs = [named(blobs, offset, 0) for offset in range(3)]
    own = pairs[1].record.captions
    source = TextSource(pair_id="copy", page_url="https://other.example/page")
    captions = (*own, own[0].model_copy(update={"text": "a dog at home", "source": source}))
    changed = pairs[1].record.model_copy(update={"captions": captions})
    write_shards(objects, tmp_path, [[pairs[0], replace(pairs[1], record=changed), pairs[2]]])

    # When the copy's page is taken down
    take_down(objects, TakedownKind.DOMAIN, "other.example")

    # Then
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    assert offsets_in(objects) == [0, 2]


def test_an_older_version_does_not_come_back_when_its_successor_is_taken_down(objects, tmp_path):
    # Given an old version in a large shard, whose successor's image is taken down
    blobs = BlobStore(objects)
    old = [named(blobs, offset, 0) for offset in range(20)]
    new = named(blobs, 20, 0, pair_id="0-3", version=2)
    write_shards(objects, tmp_path, [old, [new]])
    take_down(objects, TakedownKind.SHA256, new.record.image.blob.sha256)
    left = sorted(pair_ids(ShardStream(objects)))
    assert "0-3" not in left

    # When
    compact(objects, NONE_SMALL)

    # Then
    assert sorted(pair_ids(ShardStream(objects))) == left
    assert sorted(pair_ids(ShardStream(objects, options=ShardOptions(latest=False)))) == left


def test_a_compactor_that_dies_between_two_shards_brings_no_version_back(
    objects, tmp_path, monkeypatch
):
    # Given a version that is taken down, and an older version in a later shard
    blobs = BlobStore(objects)
    new = named(blobs, 0, 0, pair_id="same", version=2)
    write_shards(objects, tmp_path, [[new], [named(blobs, 1, 0, pair_id="same")]])
    take_down(objects, TakedownKind.SHA256, new.record.image.blob.sha256)
    commit = MergedManifests.commit

    def commit_and_die(self, run, manifest):
        commit(self, run, manifest)
        raise KeyboardInterrupt

    # When compaction dies after the first of the two
    with monkeypatch.context() as patch:
        patch.setattr(MergedManifests, "commit", commit_and_die)
        with pytest.raises(KeyboardInterrupt):
            compact(objects, NONE_SMALL)

    # Then no version is given, neither now nor after the next compaction
    assert list(ShardStream(objects)) == []
    compact(objects)
    assert offsets_in(objects) == []


ADDRESSES: list[tuple[type, str]] = [
    (model, name) for model in (CleanPair, ImageRef) for name in model.model_fields if "url" in name
]
ADDRESSES.append((dict, "image_url"))


@pytest.mark.parametrize(("model", "name"), ADDRESSES)
@pytest.mark.parametrize(
    ("kind", "value"), [(TakedownKind.URL, URL), (TakedownKind.DOMAIN, "example.org")]
)
def test_a_table_has_every_address_that_takedowns_look_at(
    objects, blobs, tmp_path, model, name, kind, value
):
    # Given a large shard with a pair that only one of its addresses covers
    changed: dict[str, Any] = {name: URL}
    if model is ImageRef:
        changed = {"image": stored(blobs, 1).record.image.model_copy(update=changed)}
    elif model is dict:
        changed = {"extra": changed}
    write_shards(objects, tmp_path, [[stored(blobs, 0), stored(blobs, 1, 0, **changed)]])
    take_down(objects, kind, value)

    # When / Then
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    assert offsets_in(objects) == [0]


def test_a_table_has_the_sha256_of_images_as_delivered(objects, blobs, tmp_path):
    image = stored(blobs, 1).record.image.model_copy(update={"original_sha256": "a" * 64})
    write_shards(objects, tmp_path, [[stored(blobs, 0), stored(blobs, 1, image=image)]])
    take_down(objects, TakedownKind.SHA256, "a" * 64)
    assert compact(objects, NONE_SMALL).dropped == {"taken down": 1}
    assert offsets_in(objects) == [0]
