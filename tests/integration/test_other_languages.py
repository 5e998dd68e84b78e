"""The examples that publish from other languages do what they say."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import Read, TopicReader
from kaption.producers import pair_id
from kaption.schemas import ImageSource, RawPair
from kaption.schemas.topics import RAW
from support.topics import with_topics

EXAMPLE = Path(__file__).parents[2] / "examples" / "node" / "publish.mjs"
TOPIC = replace(RAW, partitions=3)
BROKERS = ["tansu", pytest.param("apache_kafka", marks=pytest.mark.integration)]


@pytest.fixture(params=BROKERS)
def connection(request: pytest.FixtureRequest, topic_prefix: str) -> KafkaConnection:
    bootstrap = request.getfixturevalue(request.param).bootstrap
    return with_topics(bootstrap, topic_prefix, [TOPIC])


def run_example(
    connection: KafkaConnection, lines: str, topic: str = TOPIC.name
) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail("the example for Node needs node 18 or later on the PATH")
        pytest.skip("no node on the PATH")
    command = [node, str(EXAMPLE), connection.bootstrap, connection.topic_prefix + topic]
    return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=600)


def read_raw(connection: KafkaConnection) -> list[Read]:
    with TopicReader(connection, [TOPIC]) as reader:
        return list(reader)


def test_pairs_of_node_are_pairs(connection: KafkaConnection) -> None:
    # Given pairs with all kinds of characters, enough for several batches
    fields = [
        {
            "image": {"url": f"https://example.org/krüge/{number}.jpg"},
            "text": f"Krug {number} ☕ 😀 " + "x" * 2_000,
            "page_url": "https://example.org/\x7f\u2028",
            "colour": "blue",
        }
        for number in range(1_000)
    ]
    # When the example publishes them
    done = run_example(connection, "".join(json.dumps(each) + "\n" for each in fields))
    # Then each is there once, as this side would have made it
    assert (done.returncode, done.stdout) == (0, "1000 pairs published\n"), done.stderr
    found = read_raw(connection)
    pairs = [read.record for read in found if isinstance(read.record, RawPair)]
    assert {pair.text for pair in pairs} == {each["text"] for each in fields}
    assert len(found) == len(pairs) == 1_000
    assert all(pair.pair_id == pair_id(None, pair.page_url, pair.image) for pair in pairs)
    assert all(pair.extra == {"colour": "blue"} for pair in pairs)
    assert found[0].headers == [("kaption-schema", b"RawPair/1")]
    assert {read.position.partition for read in found} == {0, 1, 2}


def test_an_inline_image_and_an_id_of_its_own_pass(connection: KafkaConnection) -> None:
    fields = {"pair_id": "mine", "image": {"inline": "AAEC"}, "text": ""}
    without_id = {"image": {"inline": "AAEC"}, "text": "", "source": "shop"}

    done = run_example(connection, json.dumps(fields) + "\n\n" + json.dumps(without_id))

    assert done.returncode == 0, done.stderr
    image = ImageSource(inline=b"\x00\x01\x02")
    records = [read.record for read in read_raw(connection)]
    found = {each.pair_id: each for each in records if isinstance(each, RawPair)}
    expected = [("mine", None), (pair_id("shop", None, image), "shop")]
    assert found == {
        name: RawPair(pair_id=name, image=image, text="", source=source)
        for name, source in expected
    }


def test_what_is_wrong_is_said(connection: KafkaConnection) -> None:
    done = run_example(connection, "{}\n", topic="nowhere")

    assert done.returncode == 1
    assert "nowhere: Kafka error 3; does it exist?" in done.stderr
