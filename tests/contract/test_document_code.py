"""The Python in the documents runs as it stands, against a real broker and a real data set."""

import contextlib
import io
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.pins import add_pin
from kaption.objectstore.folder import FolderStore
from kaption.producers.sources import open_source, source_formats
from kaption.schemas import TOPICS, RawPair, TakedownKind, encode, headers_of
from kaption.schemas.topics import CLEAN, RAW
from kaption.workers.local import Tansu
from support import source_inputs as inputs
from support.documents import DOCUMENTS, ROOT, blocks, commands, name_of
from support.stream_records import imaged, jpeg, take_down, write_shards

DEMO_CLIP = f"local-dir:{files('kaption.workers.demo').joinpath('models', 'clip')}"


def python_blocks(document: str) -> list[str]:
    return [each.text for each in blocks(ROOT / document) if each.language == "python"]


README_PUBLISH, README_TRAIN = python_blocks("README.md")
PUBLISH, PUBLISH_ASYNC, PUBLISH_SPOOL, PUBLISH_LARGE = python_blocks("docs/crawlers.md")
READ_TOPIC, READ_SHARDS, READ_DATASETS = python_blocks("docs/output.md")
SHARD_STREAM, ACCELERATE, PINNED, TOPIC_STREAM, BATCHES = python_blocks("docs/training.md")
(TAKEN_DOWN,) = python_blocks("docs/takedown.md")
RUN_HERE = {"README.md", *(f"docs/{name}.md" for name in ("crawlers", "output", "training"))} | {
    "docs/takedown.md"
}
RUN_ELSEWHERE = {"docs/extending.md"}  # by tests of its own


@pytest.fixture
def kafka() -> Iterator[KafkaConnection]:
    """Give a broker of the test's own, since the documents' topics have no prefix."""
    with Tansu() as broker:
        connection = KafkaConnection(bootstrap=broker.bootstrap)
        with TopicAdmin(connection) as admin:
            admin.create([replace(topic, partitions=1) for topic in TOPICS])
        yield connection


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStore:
    """Give the data set out/store of the documents, below the working folder, with two pairs."""
    monkeypatch.chdir(tmp_path)
    objects = FolderStore(Path("out/store"))
    blobs = BlobStore(objects)
    write_shards(objects, tmp_path / "spool", [[imaged(blobs, number) for number in range(2)]])
    return objects


def run(code: str, **changed: str) -> list[str]:
    """Execute with parts of the text replaced; returns the lines that it printed."""
    for old, new in changed.items():
        assert old in code
        code = code.replace(old, new)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "document", "exec"), {})
    return printed.getvalue().splitlines()


def test_every_python_block_is_run() -> None:
    found = {
        name_of(document)
        for document in DOCUMENTS
        for each in blocks(document)
        if each.language == "python"
    }

    assert found - RUN_ELSEWHERE == RUN_HERE


# A crawler publishes


def raw_texts(kafka: KafkaConnection) -> list[str]:
    with TopicReader(kafka, [RAW]) as reader:
        records = [read.record for read in reader]
    return [record.text for record in records if isinstance(record, RawPair)]


@pytest.mark.parametrize(
    ("block", "texts"),
    [
        (README_PUBLISH, ["My cat on the sofa"]),
        (PUBLISH, ["My cat on the sofa", "A dog"]),
        (PUBLISH_ASYNC, ["My cat on the sofa"]),
        (PUBLISH_SPOOL, ["My cat on the sofa"]),
    ],
    ids=["readme", "threads", "event loop", "spool"],
)
def test_a_crawler_publishes(
    kafka: KafkaConnection,
    block: str,
    texts: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dog.jpg").write_bytes(jpeg(1))

    run(block, **{"kafka:9092": kafka.bootstrap})

    assert raw_texts(kafka) == texts


def test_a_crawler_has_a_store_for_large_images(kafka: KafkaConnection, tmp_path: Path) -> None:
    # Given an image that is too large for a message
    image, store = 'b"the bytes of a JPEG file"', "s3://bucket/prefix"

    run(
        PUBLISH_LARGE,
        **{"kafka:9092": kafka.bootstrap, image: "bytes(5 << 20)", store: f"{tmp_path}"},
    )

    assert raw_texts(kafka) == ["My cat on the sofa"]
    assert list(FolderStore(tmp_path).list("blobs/"))


def test_every_kind_of_source_has_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what the commands name
    monkeypatch.chdir(tmp_path)
    opened = set()
    lines = [
        list(each.words[2:])
        for each in commands(ROOT / "docs" / "crawlers.md")
        if each.words[:2] == ["kaption", "produce"]
    ]
    for location, *options in lines:
        if "://" not in location:
            make_source(tmp_path / location)
        # When each is opened with its options
        named = {name: value for name, _, value in (each.partition("=") for each in options[1::2])}
        opened.add(type(open_source(location, options=named)))
    # Then all formats are among them
    assert opened == set(source_formats().values())


def make_source(path: Path) -> None:
    """What the document says is there."""
    folders: dict[str, Callable[[Path], str]] = {
        "images": inputs.images,
        "downloads": inputs.img2dataset_tars,
        "saved": inputs.saved_dataset,
    }
    if path.name in folders:
        Path(folders[path.name](path.parent)).rename(path)
    else:
        path.touch()


# Somebody reads


def test_shards_are_read(dataset: FolderStore) -> None:
    printed = run(READ_SHARDS)

    assert [line.split()[:3] for line in printed] == [
        ["0-0", "Größe", "0"],
        ["0-1", "Größe", "1"],
    ]


def test_hugging_face_reads_the_tars(
    dataset: FolderStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets  # seconds to load

    def refuse(*_: object) -> None:
        raise AssertionError("somebody asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    assert run(READ_DATASETS) == ["Größe 0"]


def test_what_is_taken_down_is_left_out(dataset: FolderStore) -> None:
    take_down(dataset, TakedownKind.PAIR, "pair-0")

    assert run(TAKEN_DOWN) == ["0-1 Größe 1"]


@pytest.fixture
def clean(kafka: KafkaConnection, dataset: FolderStore) -> KafkaConnection:
    """Give a topic of one pair and a tombstone; the image is in the data set's store."""
    pair = imaged(BlobStore(dataset), 7).record
    producer = KafkaProducer(**client_config(kafka))
    producer.send(CLEAN.name, encode(pair), key=b"pair-7", headers=headers_of(pair))
    producer.send(CLEAN.name, None, key=b"withdrawn")
    producer.close()
    return kafka


def test_the_topic_is_read(clean: KafkaConnection) -> None:
    printed = run(READ_TOPIC, **{"kafka:9092": clean.bootstrap})

    (line,) = printed
    assert re.fullmatch(r"pairs\.clean/0/0/[A-Za-z0-9_-]{22} Größe 7 0\.3", line)


def test_training_reads_the_topic(clean: KafkaConnection) -> None:
    printed = run(TOPIC_STREAM, **{"kafka:9092": clean.bootstrap})

    assert printed == [f"Größe 7 {len(jpeg(7))}"]


@pytest.mark.parametrize(("block", "epochs"), [(README_TRAIN, 1), (SHARD_STREAM, 2)])
def test_training_reads_shards(dataset: FolderStore, block: str, epochs: int) -> None:
    printed = run(block)

    once = [f"Größe {number} {len(jpeg(number))}" for number in range(2)]
    assert sorted(printed) == sorted(once * epochs)


def test_training_reads_a_version_that_was_pinned(dataset: FolderStore, tmp_path: Path) -> None:
    # Given a version, and a shard that came later
    add_pin(dataset, "dataset", "clip-run-7", "w", datetime.now(UTC))
    write_shards(dataset, tmp_path / "spool", [[imaged(BlobStore(dataset), 2)]])

    assert sorted(run(PINNED)) == [f"Größe {number} {len(jpeg(number))}" for number in range(2)]


def test_a_loader_that_accelerate_prepares_gives_tensors(dataset: FolderStore) -> None:
    assert run(ACCELERATE) == ["torch.Size([2])"]


def test_training_reads_batches(dataset: FolderStore) -> None:
    printed = run(BATCHES, **{"ViT-B-32": DEMO_CLIP})

    (shapes,) = printed
    assert shapes.startswith("torch.Size([2, 3, 64, 64]) torch.Size([2, ")
