"""The README's Python runs as it stands, against a real broker and a real dataset."""

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kafka import KafkaProducer

from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.producers.sources import open_source, source_formats
from kaption.schemas import TOPICS, RawPair, encode, headers_of
from kaption.schemas.topics import CLEAN, RAW
from kaption.workers.local import Tansu
from support import source_inputs as inputs
from support.sink_records import open_sink, run, stored

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
PUBLISH, PUBLISH_ASYNC, SHARDS, TOPIC, STREAM = BLOCKS
PRODUCE = re.findall(r"^    kaption produce (.*)$", TEXT, re.MULTILINE)


@pytest.fixture
def kafka() -> Iterator[KafkaConnection]:
    """Give a broker of the test's own, since the README's topics have no prefix."""
    with Tansu() as broker:
        connection = KafkaConnection(bootstrap=broker.bootstrap)
        with TopicAdmin(connection) as admin:
            admin.create([replace(topic, partitions=1) for topic in TOPICS])
        yield connection


def _run(code: str, **changed: str) -> str:
    """Execute with parts of the text replaced; returns what it printed."""
    for old, new in changed.items():
        assert old in code
        code = code.replace(old, new)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    return printed.getvalue()


@pytest.mark.parametrize("block", [PUBLISH, PUBLISH_ASYNC], ids=["threads", "event loop"])
def test_a_crawler_publishes(kafka: KafkaConnection, block: str) -> None:
    _run(block, **{"kafka:9092": kafka.bootstrap})
    with TopicReader(kafka, [RAW]) as reader:
        (read,) = reader
    assert isinstance(read.record, RawPair)
    assert read.record.text == "My cat on the sofa"


def test_every_kind_of_source_has_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given what the README's lines name
    monkeypatch.chdir(tmp_path)
    opened = set()
    for line in PRODUCE:
        location, *options = shlex.split(line, comments=True)
        if "://" not in location:
            _make(tmp_path / location)
        # When each is opened with its options
        named = {name: value for name, _, value in (each.partition("=") for each in options[1::2])}
        opened.add(type(open_source(location, options=named)))
    # Then all formats are among them
    assert opened == set(source_formats().values())


def _make(path: Path) -> None:
    """What the README says is there."""
    folders: dict[str, Callable[[Path], str]] = {
        "images": inputs.images,
        "downloads": inputs.img2dataset_tars,
        "saved": inputs.saved_dataset,
    }
    if path.name in folders:
        Path(folders[path.name](path.parent)).rename(path)
    else:
        path.touch()


def _two_pairs(folder: Path) -> None:
    """Make a dataset."""
    objects = FolderStore(folder)
    sink = open_sink(objects, folder / "spool", "writer")
    run(sink, [stored(BlobStore(objects), offset) for offset in range(2)])
    sink.close()


def test_training_reads_shards(tmp_path: Path) -> None:
    # Given a dataset of two pairs
    _two_pairs(tmp_path)
    # When the README's lines read it
    printed = _run(SHARDS, **{"out/store": str(tmp_path)})
    # Then both are seen, with their captions
    assert [line.split()[2] for line in printed.splitlines()] == ["0", "1"]
    assert "Größe 1" in printed


def test_training_reads_the_topic(kafka: KafkaConnection, tmp_path: Path) -> None:
    pair = stored(BlobStore(FolderStore(tmp_path)), 7).record
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(CLEAN.name, encode(pair), headers=headers_of(pair))
    producer.send(CLEAN.name, None, key=b"withdrawn")
    producer.close()
    printed = _run(TOPIC, **{"kafka:9092": kafka.bootstrap})
    assert printed == "pairs.clean/0/0 Größe 7 0.3\n"


def test_training_streams_shards(tmp_path: Path) -> None:
    _two_pairs(tmp_path)
    printed = _run(STREAM, **{"out/store": str(tmp_path)})
    assert sorted(line.split()[:2] for line in printed.splitlines()) == [
        ["Größe", "0"],
        ["Größe", "1"],
    ]
