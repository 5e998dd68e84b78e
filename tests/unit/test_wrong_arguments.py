"""Arguments of a wrong kind: the constructors of the front door say what to write."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kaption
from kaption import KafkaConnection, StoreConnection
from kaption.schemas.topics import CLEAN

front: Any = kaption  # wrong arguments, which type checkers refuse
KAFKA = KafkaConnection(bootstrap="127.0.0.1:1")
STORE = StoreConnection(url="store")
URL = "https://a.example/1.jpg"
CONNECTION = r"connection must be KafkaConnection\(bootstrap='host:9092'\), not "


@pytest.mark.parametrize(
    ("make", "said"),
    [
        *((lambda given=given: front.Publisher(given), CONNECTION) for given in
          ("kafka:9092", None, ["kafka:9092"], {"bootstrap": "kafka:9092"}, STORE)),
        (lambda: front.Publisher(KafkaConnection), CONNECTION + "the class itself"),
        (lambda: front.Publisher(KAFKA, topic="pairs.raw"), "topic must be a Topic"),
        (lambda: front.Publisher(KAFKA, store="s3://bucket"), "store must be StoreConnection"),
        (lambda: front.Publisher(KAFKA, spool=STORE), "spool must be the path of a folder"),
        (lambda: front.Publisher(KAFKA, options={"linger_s": 1}), "options must be Publ"),
        (lambda: front.KafkaConnection("kafka:9092"), r"by name: KafkaConnection\(bootstrap="),
        (lambda: front.KafkaConnection(bootstrap_servers="kafka:9092"), "did you mean bootstrap"),
        (lambda: front.StoreConnection("out/store"), r"by name: StoreConnection\(url="),
        (lambda: front.StoreConnection(path="out/store"), r"no field path; such as .*\(url="),
        (lambda: front.ShardStream("out/store"), r"store must be StoreConnection\(url="),
        (lambda: front.ShardStream(KAFKA), "store must be .*, not KafkaConnection"),
        (lambda: front.ShardStream(STORE, seed="1"), "seed must be a whole number"),
        (lambda: front.TopicReader("kafka:9092", [CLEAN]), CONNECTION + "str"),
        (lambda: front.TopicReader(KAFKA, "pairs.clean"), r"topics must be a Topic.*, not str"),
        (lambda: front.TopicStream("kafka:9092", STORE), CONNECTION + "str"),
        (lambda: front.TopicStream(KAFKA, "out/store"), "store must be .*, not str"),
        (lambda: front.TopicStream(STORE, KAFKA), CONNECTION + "StoreConnection"),
        (lambda: front.TrainingBatches(STORE, None, batch_size=8), "make must be ExampleMaker"),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_line_that_says_what_to_write(
    make: Callable[..., Any], said: str
) -> None:
    with pytest.raises(TypeError, match=said) as raised:
        make()

    assert "\n" not in str(raised.value)


def test_an_async_publisher_says_the_same() -> None:
    async def opened() -> None:
        async with front.AsyncPublisher("kafka:9092"):
            pass

    with pytest.raises(TypeError, match=CONNECTION):
        asyncio.run(opened())


def test_a_password_in_a_wrong_argument_is_not_shown() -> None:
    with pytest.raises(TypeError) as raised:
        front.Publisher({"password": "geheim"})

    assert "geheim" not in str(raised.value)


def test_a_spool_may_be_named_by_a_string(tmp_path: Path) -> None:
    front.Publisher(KAFKA, spool=str(tmp_path / "spool")).close()

    assert (tmp_path / "spool").is_dir()


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"image": URL}, ValueError, "text: Field required"),
        ({"text": "a jug"}, ValueError, "image: Field required"),
        ({"image": None, "text": "a jug"}, ValueError, r"image: .*ImageSource \(given None\)"),
        ({"image": {"url": 7}, "text": "a jug"}, ValueError, r"image\.url: .*\(given 7\)"),
        ({"image": {}, "text": "a jug"}, ValueError, "image: give exactly one of url, inline"),
        ({"image": URL + "x" * 9000, "text": "a"}, ValueError, r"url: .*8192.*'https.*\.\.\.\)"),
        ({"img": URL, "words": "a jug"}, ValueError, "text: Field required; image: Field required"),
        ("a jug", TypeError, r"pair must be a RawPair, or fields: publish\(.*, not str"),
        ({0: "a jug"}, TypeError, r"pair must be a RawPair, or fields: publish\(.*, not dict"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_one_line_that_names_field_and_value(
    fields: Any, kind: type[Exception], said: str, tmp_path: Path
) -> None:
    named = isinstance(fields, dict) and 0 not in fields
    with (
        front.Publisher(KAFKA, spool=tmp_path / "spool") as publisher,
        pytest.raises(kind, match=said) as raised,
    ):
        publisher.publish(**fields) if named else publisher.publish(fields)

    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300
