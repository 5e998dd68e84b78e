"""What we touch of kafka-python's private parts exists, and is touched in one file alone."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.consumer.fetcher import Fetcher, FetchMetadata, FetchSessionHandler
from kafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.base import Generation
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import (
    TransactionalRequestResult,
    TransactionManager,
    TxnRequestHandler,
)
from kafka.protocol.api_message import ApiMessage
from kafka.record import MemoryRecords

TOUCHED = [
    (KafkaConsumer, "_coordinator"),
    (ConsumerCoordinator, "_offset_fetch_futures"),
    (ConsumerCoordinator, "rebalance_in_progress"),
    (ConsumerCoordinator, "request_rejoin"),
    (ConsumerCoordinator, "_join_task"),
    (ConsumerCoordinator, "_assignors"),
    (ConsumerCoordinator, "_generation"),
    (Generation, "is_lost"),
    (ConsumerCoordinator, "_subscription"),
    (SubscriptionState, "assigned_partitions"),
    (CooperativeStickyAssignor, "member_assignment"),
    (KafkaConsumer, "_fetcher"),
    (Fetcher, "_next_partition_records"),
    (Fetcher, "_parse_fetched_data"),
    (Fetcher, "_on_partition_records_drain"),
    (Fetcher, "_unpack_records"),
    (Fetcher, "drain"),
    (Fetcher, "next_fetch_offset"),
    (MemoryRecords, "_next_slice"),
    (Fetcher, "_create_fetch_requests"),
    (Fetcher, "_handle_fetch_response"),
    (Fetcher, "_fetchable_partitions"),
    (Fetcher, "_select_read_replica"),
    (Fetcher, "_session_handlers"),
    (FetchSessionHandler, "next_metadata"),
    (FetchMetadata, "next_close_existing"),
    (Fetcher, "_subscriptions"),
    (SubscriptionState, "assignment"),
    (TopicPartitionState, "highwater"),
    (Fetcher, "_nodes_with_pending_fetch_requests"),
    (ApiMessage, "_max_version"),
    (KafkaProducer, "_closed"),
    (KafkaProducer, "_unregister_cleanup"),
    (KafkaProducer, "_sender"),
    (Sender, "force_close"),
    (KafkaProducer, "_transaction_manager"),
    (TransactionManager, "_enqueue_request"),
    (TransactionManager, "_lock"),
    (TxnRequestHandler, "result"),
    (TransactionalRequestResult, "is_done"),
    (TransactionalRequestResult, "done"),
]
"""Each attribute that internals.py touches of an object that the library keeps to itself."""
FAULTS = [
    (ConsumerCoordinator, "rejoining"),
    (ConsumerCoordinator, "reset_generation"),
    (ConsumerCoordinator, "_assignment_snapshot"),
    (ConsumerCoordinator, "ensure_coordinator_ready_async"),
    (ConsumerCoordinator, "_net"),
    (KafkaProducer, "_transaction_manager"),
    (KafkaProducer, "_sender"),
    (TransactionManager, "_lock"),
    (TransactionManager, "_enqueue_request"),
    (TransactionManager, "_partitions_in_transaction"),
    (TransactionManager, "_pending_txn_offset_commits"),
]
"""The same for the faults that tests bring about."""

ROOT = Path(__file__).parents[2]
INTERNALS = ROOT / "connections" / "kafka" / "internals.py"
HOMES = (INTERNALS, ROOT / "tests" / "support" / "kafka_faults.py")
WHEEL = ("connections", "consumers", "objectstore", "producers", "schemas", "testing", "workers")
BY_NAME = ("getattr", "setattr", "hasattr", "delattr")
BESIDE = ("bench", "deploy", "examples", "tests", "tools")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def defined_in(tree: ast.AST) -> set[str]:
    """Methods, and attributes that they set of their own object."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_own(node):
            found.add(node.attr)
    return found


def of_class(kind: type[Any]) -> set[str]:
    """What a class of the library defines, by itself or by its bases."""
    sources = [inspect.getsource(each) for each in kind.__mro__ if each.__module__ != "builtins"]
    return set().union(*(defined_in(ast.parse(source)) for source in sources))


@cache
def private_names_of_the_library() -> set[str]:
    files = Path(kafka.__file__).parent.rglob("*.py")
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    return {name for tree in trees for name in defined_in(tree) if is_private(name)}


def touches(source: str, names: set[str]) -> Iterator[str]:
    """Lines that touch one of the names of another object than their own."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.Attribute, ast.Call)):
            continue
        touched: list[Any] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func) in BY_NAME:
            touched = [each.value for each in node.args if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.Attribute) and not is_own(node):
            touched = [node.attr]
        if names.intersection(touched):
            yield f"{node.lineno} {ast.unparse(node)}"


@pytest.mark.parametrize(
    ("kind", "name"), TOUCHED + FAULTS, ids=lambda value: getattr(value, "__name__", value)
)
def test_the_installed_library_has_what_we_touch(kind: type[Any], name: str) -> None:
    assert name in of_class(kind)


@pytest.mark.parametrize(("file", "named"), [(HOMES[0], TOUCHED), (HOMES[1], FAULTS)])
def test_each_private_attribute_that_is_touched_is_named_here(
    file: Path, named: list[tuple[type[Any], str]]
) -> None:
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    touched = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    overridden = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}

    known = {name for _, name in TOUCHED + named}
    assert {name for name in touched if is_private(name)} <= known
    assert {name for _, name in named} <= touched | overridden


def test_no_other_file_touches_a_private_attribute_of_the_library() -> None:
    names = private_names_of_the_library()
    assert {name for _, name in TOUCHED if is_private(name)} <= names
    found = []
    for folder in (*WHEEL, *BESIDE):
        for path in (ROOT / folder).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            # Beside the wheel, a file that does not speak of Kafka may use a name that is ours.
            if path not in HOMES and (folder in WHEEL or "kafka" in source):
                found += [f"{path.relative_to(ROOT)}:{each}" for each in touches(source, names)]

    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "consumer._coordinator.request_rejoin()",
        "self.consumer._fetcher = None",
        "getattr(producer, '_sender')",
        "setattr(producer, '_closed', True)",
    ],
)
def test_a_touch_is_seen(source: str) -> None:
    assert list(touches(source, private_names_of_the_library()))


def test_an_attribute_of_ones_own_is_no_touch() -> None:
    assert not list(touches("self._closed = True", {"_closed"}))
