"""Shards of the sink are read by other libraries, without a network."""

import io
import json
import socket
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset
import pyarrow.parquet
import pytest
import webdataset
from PIL import Image

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, OptOutSignal
from support.compacting import compact
from support.stream_records import imaged, jpeg, write_shards

pytestmark = pytest.mark.slow


@pytest.fixture
def pairs() -> list[CleanPair]:
    return []


@pytest.fixture
def shards(tmp_path: Path, pairs: list[CleanPair]) -> Path:
    """Give the data folder of two shards. Later pairs have fields that the first ones lack."""
    objects = FolderStore(tmp_path / "store")
    blobs = BlobStore(objects)
    full: dict[str, Any] = {
        "page_url": "https://example.org/page",
        "licence": "CC-BY-4.0",
        "opt_out": (OptOutSignal(kind="robots_meta", value="noai"),),
        "extra": {"crawl": 7, "nested": {"deep": [1, "two"]}},
        "original_score": 0.25,
    }
    messages = [imaged(blobs, number, **(full if number > 6 else {})) for number in range(12)]
    write_shards(objects, tmp_path, [messages[:8], messages[8:]])
    pairs += [message.record for message in messages]
    assert [each.pairs for each in read_manifests(objects, "dataset")] == [8, 4]
    return tmp_path / "store" / "dataset" / "data"


@pytest.fixture
def offline(monkeypatch, tmp_path) -> str:
    """Refuse every connection; gives a folder for caches."""

    def refuse(*_):
        raise AssertionError("somebody asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return str(tmp_path / "cache")


def files(shards: Path, ending: str) -> list[str]:
    return sorted(str(path) for path in shards.rglob(f"*.{ending}"))


def test_webdataset_decodes_images_texts_and_records(shards, pairs):
    samples = list(
        webdataset.WebDataset(files(shards, "tar"), shardshuffle=False)
        .decode("pil")
        .to_tuple("__key__", "jpg", "txt", "json")
    )
    assert [key for key, *_ in samples] == [f"0-{number}" for number in range(12)]
    for (_, image, text, record), pair in zip(samples, pairs, strict=True):
        assert image.mode == "RGB"
        assert image.size == (pair.image.width, pair.image.height)
        assert text == pair.captions[0].text
        assert CleanPair.model_validate(record) == pair


@pytest.mark.parametrize("streaming", [False, True])
def test_huggingface_reads_the_tars(shards, pairs, offline, streaming):
    # Given features, because those that it infers from five samples do not fit later ones
    import datasets  # seconds to load

    features = datasets.Features(
        {
            "__key__": datasets.Value("string"),
            "jpg": datasets.Image(),
            "txt": datasets.Value("string"),
            "json": datasets.Json(),
        }
    )

    # When
    found = list(
        datasets.load_dataset(
            "webdataset",
            data_files={"train": files(shards, "tar")},
            features=features,
            split="train",
            streaming=streaming,
            cache_dir=offline,
        )
    )

    # Then
    assert [sample["__key__"] for sample in found] == [f"0-{number}" for number in range(12)]
    for sample, pair in zip(found, pairs, strict=True):
        assert sample["jpg"].size == (pair.image.width, pair.image.height)
        assert sample["txt"] == pair.captions[0].text
        record = CleanPair.model_validate(sample["json"])
        assert (record.pair_id, record.page_url) == (pair.pair_id, pair.page_url)
        assert (record.extra, record.opt_out) == (pair.extra, pair.opt_out)


def test_huggingface_reads_the_tables(shards, pairs, offline):
    import datasets  # seconds to load

    found = datasets.load_dataset(
        "parquet", data_files=files(shards, "parquet"), split="train", cache_dir=offline
    )
    assert found["pair_id"][:] == [pair.pair_id for pair in pairs]
    assert found[0]["captions"][0]["text"] == pairs[0].captions[0].text
    assert found["page_url"][:] == [pair.page_url for pair in pairs]


def test_arrow_reads_all_tables_as_one_dataset(shards, pairs):
    table = pyarrow.dataset.dataset(files(shards, "parquet")).to_table()
    assert table["pair_id"].to_pylist() == [pair.pair_id for pair in pairs]
    assert table["licence"].to_pylist() == [pair.licence for pair in pairs]
    opt_out = [[signal.model_dump(mode="json") for signal in pair.opt_out] for pair in pairs]
    assert table["opt_out"].to_pylist() == opt_out
    assert [json.loads(each) for each in table["extra"].to_pylist()] == [
        each.extra for each in pairs
    ]


def test_duckdb_queries_the_tables(shards, pairs):
    # Given / When
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select pair_id, captions[1].text, width from read_parquet(?) "
            "where licence = 'CC-BY-4.0' and len(opt_out) = 1 and original_score > 0.2 "
            'order by "offset"',
            [files(shards, "parquet")],
        ).fetchall()

    # Then
    assert rows == [(each.pair_id, each.captions[0].text, each.image.width) for each in pairs[7:]]


def test_a_row_of_the_table_has_the_key_of_its_sample_in_the_tar(shards):
    for tar, table in zip(files(shards, "tar"), files(shards, "parquet"), strict=True):
        rows = pyarrow.parquet.read_table(table).to_pylist()
        samples = list(webdataset.WebDataset(tar, shardshuffle=False))
        assert [row["key"] for row in rows] == [sample["__key__"] for sample in samples]
        for row, sample in zip(rows, samples, strict=True):
            assert sample["jpg"] == jpeg(row["offset"])
            assert Image.open(io.BytesIO(sample["jpg"])).size == (row["width"], row["height"])


def test_merged_shards_are_read_like_others(shards, pairs):
    # Given
    objects = FolderStore(shards.parents[1])
    compact(objects)
    named = [entry for each in read_manifests(objects, "dataset") for entry in each.objects]

    # When
    tar, table, _ = (str(shards.parent / entry.key) for entry in named)
    samples = list(
        webdataset.WebDataset(tar, shardshuffle=False)
        .decode("pil")
        .to_tuple("__key__", "jpg", "txt", "json")
    )

    # Then
    assert [CleanPair.model_validate(record) for *_, record in samples] == pairs
    assert [image.size for _, image, _, _ in samples] == [
        (pair.image.width, pair.image.height) for pair in pairs
    ]
    rows = pyarrow.dataset.dataset(table).to_table()
    assert rows["key"].to_pylist() == [key for key, *_ in samples]
    assert rows["pair_id"].to_pylist() == [pair.pair_id for pair in pairs]
