"""`kaption produce`, killed as the kernel would: no record is lost, none is there twice."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumers.topic_reader import TopicReader
from schemas import KafkaConnection, RawPair
from schemas.topics import RAW
from workers.local import ApacheKafka
from workers.runtime.kafka.topics import TopicAdmin

RECORDS = 20_000
RATE = 2_500
KILLS = 8


def jsonl(folder: Path) -> Path:
    with (folder / "pairs.jsonl").open("w") as file:
        file.writelines(json.dumps(pair) + "\n" for pair in pairs())
    return folder / "pairs.jsonl"


def saved_dataset(folder: Path) -> Path:
    import datasets  # seconds to load

    datasets.Dataset.from_list(list(pairs())).save_to_disk(folder / "saved", num_shards=4)
    return folder / "saved"


def pairs() -> Iterator[dict[str, str]]:
    for number in range(RECORDS):
        yield {"image": f"https://cdn.example/{number}.jpg", "text": str(number)}


@pytest.mark.chaos
@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [jsonl, saved_dataset])
def test_killed_at_any_moment_it_publishes_each_record_once(
    apache_kafka: ApacheKafka, topic_prefix: str, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    # Given a source that takes longer than any of its runs lives
    source = make(tmp_path)
    connection = KafkaConnection(bootstrap=apache_kafka.bootstrap, topic_prefix=topic_prefix)
    with TopicAdmin(connection) as admin:
        admin.create([RAW])
    environment = os.environ | {
        "KAPTION_KAFKA__BOOTSTRAP": connection.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": topic_prefix,
    }
    kaption = str(Path(sys.executable).with_name("kaption"))
    produce = [kaption, "produce", str(source), "--rate", str(RATE)]
    # When each run is killed at a random moment, before or after it has published something;
    # later runs live longer, for a busy machine takes seconds to start one
    rng = random.Random(5)
    killed = 0
    while killed < KILLS:
        process = subprocess.Popen(produce, env=environment, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=killed + rng.uniform(0.0, 2.0))
        except subprocess.TimeoutExpired:
            process.kill()
        if process.wait() == 0:
            break
        killed += 1
    # and the last one is not
    ended = subprocess.run(produce, env=environment, capture_output=True, text=True, check=False)
    # Then it has gone on where they stopped, and each record is there once
    assert ended.returncode == 0, ended.stderr
    assert killed >= 3
    assert "goes on where it stopped" in ended.stderr
    with TopicReader(connection, [RAW]) as reader:
        texts = Counter(read.record.text for read in reader if isinstance(read.record, RawPair))
    assert texts == Counter({str(number): 1 for number in range(RECORDS)})
