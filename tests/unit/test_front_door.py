"""What `kaption` itself gives: the names that users import, each at first use."""

import subprocess
import sys
from typing import assert_type

import pytest

import kaption
from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.consumers import ShardStream, TopicReader, TopicStream, TrainingBatches
from kaption.producers import AsyncPublisher, Publisher
from kaption.schemas import CleanPair, RawPair

HEAVY = ("torch", "boto3", "redis", "pyarrow", "numpy", "PIL", "transformers")


def loaded(statement: str) -> set[str]:
    """Top-level names of what is loaded after the statement, in a process of its own."""
    script = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


@pytest.mark.parametrize("name", kaption.__all__)
def test_every_name_is_there_and_public_at_its_home(name: str) -> None:
    found = getattr(kaption, name)

    assert found.__name__ == name
    assert not any(part.startswith("_") for part in found.__module__.split("."))
    assert name in dir(kaption)


def test_another_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="Publischer"):
        kaption.Publischer  # noqa: B018 - the look-up is what is tested


def test_type_checkers_see_the_classes_themselves() -> None:
    assert_type(kaption.AsyncPublisher, type[AsyncPublisher])
    assert_type(kaption.CleanPair, type[CleanPair])
    assert_type(kaption.KafkaConnection, type[KafkaConnection])
    assert_type(kaption.Publisher, type[Publisher])
    assert_type(kaption.RawPair, type[RawPair])
    assert_type(kaption.ShardStream, type[ShardStream])
    assert_type(kaption.StoreConnection, type[StoreConnection])
    assert_type(kaption.TopicReader, type[TopicReader])
    assert_type(kaption.TopicStream, type[TopicStream])
    assert_type(kaption.TrainingBatches, type[TrainingBatches])
    assert len(kaption.__all__) == 10  # a new name needs its line above


def test_a_name_is_the_class_of_its_home() -> None:
    assert kaption.Publisher is Publisher
    assert kaption.ShardStream is ShardStream


@pytest.mark.parametrize(
    "statement",
    ["import kaption", "from kaption import Publisher, KafkaConnection, RawPair, StoreConnection"],
)
def test_a_crawler_loads_nothing_heavy(statement: str) -> None:
    assert loaded(statement).isdisjoint(HEAVY)


def test_the_package_alone_loads_not_even_kafka_and_pydantic() -> None:
    assert loaded("import kaption").isdisjoint({"kafka", "pydantic", *HEAVY})
