"""The sink on a folder: the shards that it writes."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import pyarrow.parquet as pq
import pytest
import webdataset
from pydantic import ValidationError

from kaption.objectstore.blobs import BlobStore, blob_key
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import BlobRef, CleanPair, OptOutSignal, Reason
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.runtime.stage import Dead, Reject
from kaption.workers.stages.sink.stage import SinkStage
from support.sink_records import (
    TOPIC,
    done,
    image_bytes,
    now,
    offsets_in,
    open_sink,
    orphans_in,
    run,
    stored,
)

pytestmark = pytest.mark.slow


def test_a_batch_becomes_a_shard_that_webdataset_reads(objects, blobs, sink, tmp_path):
    # Given a batch with gaps in its offsets and two versions of one pair
    messages = [
        stored(blobs, 3, fetched_at=datetime(2026, 1, 2, tzinfo=UTC), licence="CC-BY-4.0"),
        stored(blobs, 5, pair_id="same", opt_out=(OptOutSignal(kind="robots_meta", value="x"),)),
        stored(blobs, 9, pair_id="same", version=2, extra={"crawl": 7}),
    ]

    # When processed
    assert done(run(sink, messages))

    # Then one manifest accounts for every offset up to the last, and names both objects
    (manifest,) = read_manifests(FolderStore(tmp_path / "store"), "dataset")
    assert (manifest.topic, manifest.partition, manifest.pairs) == (TOPIC, 0, 3)
    assert (manifest.start, manifest.end, manifest.writer) == (0, 10, "w1")
    assert offsets_in(objects) == [3, 5, 9]
    assert orphans_in(objects) == []

    # and the tar is what WebDataset wants
    tar = tmp_path / "store" / "dataset" / manifest.objects[0].key
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["0-3", "0-5", "0-9"]
    for sample, message in zip(samples, messages, strict=True):
        assert sample["jpg"] == image_bytes(message.position.offset)
        assert sample["txt"].decode() == message.record.captions[0].text
        assert CleanPair.model_validate_json(sample["json"]) == message.record


def test_the_table_has_typed_columns(blobs, sink, tmp_path):
    # Given one pair with optional fields and one without
    fetched = datetime(2026, 1, 2, tzinfo=UTC)
    full = stored(
        blobs,
        0,
        fetched_at=fetched,
        licence="CC-BY-4.0",
        language="de",
        opt_out=(OptOutSignal(kind="robots_meta", value="noai"),),
        extra={"crawl": 7},
        original_score=0.25,
    )
    image = full.record.image.model_copy(update={"url": "u:there", "crawled_url": "u:here"})
    cut = full.record.captions[0].model_copy(update={"truncated": True, "cut": ("at night",)})
    changed = {"image": image, "captions": (*full.record.captions, cut)}
    full = replace(full, record=full.record.model_copy(update=changed))
    run(sink, [full, stored(blobs, 1)])

    # When the Parquet object is read
    (path,) = (tmp_path / "store").rglob("*.parquet")
    table = pq.read_table(path)

    # Then types and values are those of the records
    types = {field.name: str(field.type) for field in table.schema}
    assert types["caption_score"] == types["original_score"] == "double"
    assert types["fetched_at"] == "timestamp[us, tz=UTC]"
    assert types["captions"].startswith("list<element: struct<text: string not null")
    first, second = table.to_pylist()
    assert first["fetched_at"] == fetched
    assert (first["licence"], first["language"]) == ("CC-BY-4.0", "de")
    assert first["opt_out"] == [{"kind": "robots_meta", "value": "noai", "source": None}]
    assert json.loads(first["extra"]) == {"crawl": 7}
    assert first["captions"][0]["text"] == first["caption"] == "Größe 0"
    assert first["captions"][0]["score"] == first["caption_score"] == 0.3
    assert [each["truncated"] for each in first["captions"]] == [False, True]
    assert [each["cut"] for each in first["captions"]] == [[], ["at night"]]
    assert (first["width"], first["height"], first["original_width"]) == (640, 480, 1280)
    assert (first["image_url"], first["crawled_url"]) == ("u:there", "u:here")
    assert (second["fetched_at"], second["original_score"], second["opt_out"]) == (None, None, [])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("version", str(2**63 - 1)),
        ("image.width", str(2**63 - 1)),
        ("image.original_height", str(2**63 - 1)),
        ("dedup.text_uses", str(2**63 - 1)),
        ("captions.0.score", "1e308"),
        ("fetched_at", '"9999-12-31T23:59:59.999999Z"'),
        ("fetched_at", '"0001-01-01T00:00:00-14:00"'),
        ("extra", '{"a": 1e300, "b": [[[1267650600228229401496703205376]]]}'),
        ("text", '"a\\u0000b \\ud83d\\ude00"'),
    ],
)
def test_the_largest_values_of_a_record_can_be_written(blobs, objects, sink, field, text):
    # Given a record with an extreme value, as it comes from pairs.clean
    record: Any = stored(blobs, 0).record.model_dump(mode="json")
    *path, last = field.split(".")
    reduce(lambda each, key: each[int(key) if key.isdigit() else key], path, record)[last] = "@"
    data = json.dumps(record).replace('"@"', text)
    pair = CleanPair.model_validate_json(data)
    # When it is written, then one shard holds it
    message = replace(stored(blobs, 0), record=pair)
    assert done(run(sink, [message]))
    assert offsets_in(objects) == [0]
    # And no larger whole number gets as far
    if text.isdecimal():
        with pytest.raises(ValidationError, match="less than or equal to 9223372036854775807"):
            CleanPair.model_validate_json(data.replace(text, str(2**63)))


def test_shards_follow_each_other_without_a_gap(objects, blobs, sink):
    # Given offsets with transaction markers between the batches
    for batch in ([0, 1, 2], [4, 5], [9]):
        assert done(run(sink, [stored(blobs, offset) for offset in batch]))

    # When / Then
    manifests = read_manifests(objects, "dataset")
    assert [(m.start, m.end) for m in manifests] == [(0, 3), (3, 6), (6, 10)]
    assert offsets_in(objects) == [0, 1, 2, 4, 5, 9]


def test_the_same_records_give_the_same_bytes(objects, tmp_path):
    # Given the same records, written into two datasets
    digests = []
    for prefix in ("one", "other"):
        sink = open_sink(objects, tmp_path, "w1", prefix)
        run(sink, [stored(BlobStore(objects), offset) for offset in range(5)])
        (manifest,) = read_manifests(objects, prefix)
        digests.append([entry.sha256 for entry in manifest.objects])

    # When / Then
    assert digests[0] == digests[1]


def test_a_record_without_its_image_is_rejected_and_the_others_are_written(objects, blobs, sink):
    # Given a batch in which one image was taken away
    messages = [stored(blobs, offset) for offset in range(3)]
    sha256 = messages[1].record.image.blob.sha256
    objects.delete(blob_key(sha256))

    # When
    outcomes = run(sink, messages)

    # Then
    assert isinstance(outcomes[1], Reject)
    assert outcomes[1].reason is Reason.BLOB_MISSING
    assert offsets_in(objects) == [0, 2]


def test_a_record_with_an_unknown_media_type_is_a_dead_letter(blobs, sink):
    message = stored(blobs, 0)
    blob = message.record.image.blob.model_copy(update={"media_type": "text/html"})
    image = message.record.image.model_copy(update={"blob": blob})
    with pytest.raises(Dead, match="text/html"):
        sink.prepare(stored(blobs, 0, image=image))


def test_batches_are_of_one_partition_and_bounded_by_the_policy(objects, blobs):
    policy = SinkPolicy(shard_bytes=1000, shard_records=5, shard_age_s=2)
    sink = SinkStage(policy, objects, blobs, now=now)
    batching = sink.batching
    assert (batching.max_bytes, batching.max_records, batching.max_wait_s) == (1000, 5, 2)
    assert batching.per_partition


def test_the_size_of_a_record_includes_its_image_and_its_json(blobs, sink):
    message = stored(blobs, 0)
    size = sink.size_of(message, sink.prepare(message))
    assert size > message.record.image.blob.bytes + len(message.record.text)


def test_a_record_with_a_corrupt_blob_is_a_dead_letter(objects, blobs, sink):
    message = stored(blobs, 0)
    ref: BlobRef = message.record.image.blob
    objects.put(blob_key(ref.sha256), b"x")
    with pytest.raises(Dead, match="have another sha256"):
        sink.prepare(message)
