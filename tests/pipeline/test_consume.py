"""`kaption consume`: the present pairs of pairs.clean as files."""

import json
import subprocess
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer

from kaption.objectstore import BlobStore
from kaption.objectstore.dataset.takedowns import add_takedown
from kaption.objectstore.folder import FolderStore
from kaption.schemas import CleanPair, Takedown, TakedownKind, encode, headers_of
from kaption.schemas.topics import CLEAN
from kaption.workers.local import Tansu
from support.program import kaption
from support.sink_records import image_bytes, stored
from support.topics import environment, with_topics

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def consume(tansu: Tansu, topic_prefix: str, tmp_path: Path) -> Command:
    """Give the command, and a topic with five pairs: one updated, one withdrawn, one taken down."""
    kafka = with_topics(tansu.bootstrap, topic_prefix)
    objects = FolderStore(tmp_path / "store")
    pairs = [stored(BlobStore(objects), offset).record for offset in range(5)]
    newer = pairs[1].model_copy(update={"version": 2, "text": "newer"})
    withdrawn, gone = pairs[2].pair_id, pairs[3].pair_id
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)

    def send(pair_id: str, pair: CleanPair | None) -> None:
        value, headers = (encode(pair), headers_of(pair)) if pair else (None, [])
        producer.send(topic_prefix + CLEAN.name, value, key=pair_id.encode(), headers=headers)

    for pair in (*pairs, newer):
        send(pair.pair_id, pair)
    send(withdrawn, None)
    producer.close()
    takedown = Takedown(kind=TakedownKind.PAIR, value=gone, requested_at=datetime.now(UTC))
    add_takedown(objects, "dataset", takedown)
    settings = {
        **environment(kafka),
        "KAPTION_STORE__URL": str(tmp_path / "store"),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return kaption("consume", *arguments, settings=settings)

    return run


LEFT = {"pair-0": "alt text 0", "pair-1": "newer", "pair-4": "alt text 4"}


def test_jsonl_holds_one_clean_pair_a_line(consume: Command, tmp_path: Path) -> None:
    ended = consume(str(tmp_path / "new" / "pairs.jsonl"))
    assert ended.stdout == "3 pairs, 1 taken down\n", ended.stderr
    lines = (tmp_path / "new" / "pairs.jsonl").read_text("utf-8").splitlines()
    assert {pair.pair_id: pair.text for pair in map(CleanPair.model_validate_json, lines)} == LEFT
    # An existing file is not overwritten
    again = consume(str(tmp_path / "new" / "pairs.jsonl"))
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["pairs.jsonl"]


def test_parquet_has_the_columns_of_the_shards(consume: Command, tmp_path: Path) -> None:
    assert consume(str(tmp_path / "pairs.parquet"), "--to", "parquet").returncode == 0
    rows = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert {row["pair_id"]: row["text"] for row in rows} == LEFT
    assert {row["caption"] for row in rows} == {"Größe 0", "Größe 1", "Größe 4"}


def test_wds_holds_images_and_counts_pairs_without_one(consume: Command, tmp_path: Path) -> None:
    # Given a pair whose image is deleted
    for blob in (tmp_path / "store").rglob("*"):
        if blob.is_file() and blob.read_bytes() == image_bytes(4):
            blob.unlink()
    # When one tar is written for each pair
    ended = consume(str(tmp_path / "tars"), "--to", "wds", "--shard-records", "1")
    # Then the others have a tar each, with their image
    assert ended.stdout == "2 pairs, 1 taken down, 1 without image\n", ended.stderr
    found = {}
    for path in (tmp_path / "tars").glob("*.tar"):
        with tarfile.open(path) as tar:
            members = {Path(m.name).suffix: tar.extractfile(m) for m in tar}
            data = {suffix: file.read() for suffix, file in members.items() if file}
            found[json.loads(data[".json"])["pair_id"]] = data[".jpg"]
    assert found == {"pair-0": image_bytes(0), "pair-1": image_bytes(1)}
