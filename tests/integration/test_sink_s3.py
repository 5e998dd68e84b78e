"""The sink on a real S3 server: races, crashes and what readers see."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import webdataset

from kaption.connections.errors import Retry
from kaption.objectstore import s3
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.s3 import S3Store
from support.parts import S3Bucket
from support.sink_records import (
    TOPIC,
    done,
    image_bytes,
    offsets_in,
    open_sink,
    orphans_in,
    run,
    stored,
)
from tools.servers import SeaweedFs

pytestmark = pytest.mark.integration


@pytest.fixture
def objects(s3) -> S3Store:
    return S3Store(s3.connection("team"))


def test_a_shard_on_s3_is_read_back(objects, tmp_path, monkeypatch):
    # Given a shard that is large enough for a multipart upload
    monkeypatch.setattr(s3, "MULTIPART_BYTES", 5 << 20)
    blobs, sink = BlobStore(objects), open_sink(objects, tmp_path, "w1")
    assert sink.resume(TOPIC, 0, 0) == 0
    messages = [stored(blobs, offset) for offset in range(8)]
    big = blobs.put(b"\xff\xd8" * (3 << 20), "image/jpeg")
    image = messages[3].record.image.model_copy(update={"blob": big})
    messages[3] = stored(blobs, 3, image=image)

    # When written
    assert done(run(sink, messages))

    # Then WebDataset and Parquet give what went in
    assert offsets_in(objects) == list(range(8))
    (manifest,) = read_manifests(objects, "dataset")
    tar = tmp_path / "shard.tar"
    tar.write_bytes(objects.get(f"dataset/{manifest.objects[0].key}"))
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False))
    assert [sample["jpg"] for sample in samples[:3]] == [image_bytes(offset) for offset in range(3)]
    assert len(samples[3]["jpg"]) == 6 << 20
    assert [row["sha256"] for row in read_rows(objects, "dataset", manifest)] == [
        message.record.image.blob.sha256 for message in messages
    ]
    assert sink.ready() is None


def test_sixteen_sinks_of_one_partition_write_each_record_once(objects, tmp_path):
    # Given sixteen sinks that hold overlapping ranges and know the same (empty) chain
    blobs = BlobStore(objects)
    messages = [stored(blobs, offset) for offset in range(24)]
    sinks = [open_sink(objects, tmp_path, f"w{number}") for number in range(16)]
    batches = []
    for number, sink in enumerate(sinks):
        sink.resume(TOPIC, 0, 0)
        batches.append([(message, sink.prepare(message)) for message in messages[: 9 + number]])
    together = Barrier(16)

    # When all write at once
    def write(number: int) -> bool:
        together.wait()
        return done(sinks[number].process(batches[number]))

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(write, range(16)))

    # Then the chain is whole, each record is in one shard, and the losers left nothing
    assert offsets_in(objects) == list(range(24))
    assert orphans_in(objects) == []


def test_a_zombie_beside_its_successor_writes_no_record_twice(objects, tmp_path):
    # Given a sink that lost its partition and does not know it, and its successor
    blobs = BlobStore(objects)
    messages = [stored(blobs, offset) for offset in range(30)]
    zombie = open_sink(objects, tmp_path, "zombie")
    zombie.resume(TOPIC, 0, 0)
    run(zombie, messages[:4])
    successor = open_sink(objects, tmp_path, "successor")
    successor.resume(TOPIC, 0, 0)

    # When both go through the log, in batches of different sizes
    with ThreadPoolExecutor(2) as threads:
        going = [
            threads.submit(lambda: [run(zombie, messages[i : i + 3]) for i in range(4, 30, 3)]),
            threads.submit(lambda: [run(successor, messages[i : i + 4]) for i in range(0, 30, 4)]),
        ]
        assert all(done(outcomes) for each in going for outcomes in each.result())

    # Then every record is in one shard
    assert offsets_in(objects) == list(range(30))
    assert orphans_in(objects) == []


def test_a_server_killed_between_objects_and_manifest(monkeypatch):
    # Given a sink whose server dies before the manifest is written
    with SeaweedFs() as server:
        connection = S3Bucket.on(server).connection()
        objects = S3Store(connection)
        blobs, sink = BlobStore(objects), open_sink(objects, server.folder, "w1")
        sink.resume(TOPIC, 0, 0)
        messages = [stored(blobs, offset) for offset in range(3)]
        prepared = [(message, sink.prepare(message)) for message in messages]
        chain, commit = sink._writer._chain, sink._writer._chain.commit

        def killed(manifest):
            server.kill9()
            return commit(manifest)

        with monkeypatch.context() as patch:
            patch.setattr(chain, "commit", killed)
            with pytest.raises(Retry):
                sink.process(prepared)

        # When the server is back and the engine tries again
        server.start()
        assert done(sink.process(prepared))

        # Then the second attempt has overwritten the objects of the first
        assert offsets_in(objects) == [0, 1, 2]
        assert orphans_in(objects) == []
        sink.close()
