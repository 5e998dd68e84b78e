"""Imports point one way: the rules of the design, held by reading the sources."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from contract.imports import Tree, imports_of, is_standard, loaded_by, tree_of, within

OURS = ("schemas", "objectstore", "producers", "workers", "consumers")
FAMILIES = ("stages", "captioners", "checks", "models", "stores")
LIBRARIES = ("workers.images", "workers.text", "workers.policy", "workers.device")
"""What every part of workers may use."""
INTERFACES = (
    "workers.captioners.captioner",
    "workers.checks.check",
    "workers.checks.words",
    "workers.models.scorer",
    "workers.models.windows",
    "workers.stores.answers",
    "workers.stores.captions",
    "workers.stores.dedup",
    "workers.stores.embeddings",
    "workers.stores.takedowns",
)
"""What stages know of the other families: protocols, and what is written in terms of them."""
STAGE = "workers.runtime.stage"

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "schemas": ("schemas",),
    "objectstore": ("schemas", "objectstore"),
    "producers": ("schemas", "objectstore", "producers"),
    "consumers": ("schemas", "objectstore", "consumers"),
    "workers.runtime": ("schemas", "workers.runtime"),
    "workers.local": ("workers.local",),
    "workers.stages": (
        "schemas",
        "workers.stages",
        STAGE,
        *INTERFACES,
        *LIBRARIES,
        "objectstore.blobs",
        "objectstore.store",
    ),
    **{
        f"workers.{family}": ("schemas", f"workers.{family}", STAGE, *LIBRARIES)
        for family in FAMILIES[1:]
    },
    **dict.fromkeys(LIBRARIES, ("schemas", STAGE, *LIBRARIES)),
    # It reads shards as consumers do and writes them as the sink does.
    "workers.compaction": (
        "schemas",
        "objectstore",
        "consumers",
        "workers.compaction",
        "workers.stages.sink",
    ),
    "workers.settings": ("schemas", *LIBRARIES, "workers.runtime.policy"),
    "workers.demo": ("schemas", "objectstore", "workers"),
    "workers.cli": OURS,
}
"""By package, what of ours its files may import; the entry of the longest name holds."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "kafka": (
        "schemas.kafka_access",
        "schemas.oauth",
        "workers.runtime.kafka",
        "producers.checkpoint",
        "producers.feed",
        "producers.sender",
        "producers.tombstones",
        "producers.transactions",
        "consumers",
    ),
    "redis": ("workers.stores",),
    "boto3": ("objectstore",),
    "botocore": ("objectstore",),
    "os.environ": ("workers.settings", "workers.local"),
    "os.environb": (),
    "os.getenv": ("workers.settings",),
    # Only the command line ties the two ends together, and compaction those of the shards.
    "producers": ("producers", "workers.cli"),
    "consumers": ("consumers", "workers.cli", "workers.compaction"),
    "workers.cli": ("workers.cli",),
}
"""By name, where alone it may be imported. workers.local gives its children an environment."""

LIGHT = ("schemas", "objectstore", "producers", "workers.cli", "workers.settings", "workers.policy")
"""What an install without extras imports."""
BASE = (
    "kafka",
    "prometheus_client",
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "rich",
    "stamina",
    "structlog",
    "typer",
)
HEAVY = ("torch", "torchvision", "transformers", "open_clip")
NEVER_AT_LOAD = (*LIGHT, "workers.runtime")

ROOT = Path(__file__).parents[2]


def wrong_directions(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        homes = [package for package in MAY_IMPORT if within(module, [package])]
        if not homes:
            if module != "workers":
                yield f"{module}: say in MAY_IMPORT what it may import"
            continue
        allowed = MAY_IMPORT[max(homes, key=len)]
        for each in imports:
            if within(each.name, OURS) and not within(each.name, allowed):
                yield f"{module}:{each.line} imports {each.name}"


def misplaced(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        for each in imports:
            for name, places in ONLY_IN.items():
                if within(each.name, [name]) and not within(module, places):
                    yield f"{module}:{each.line} uses {name}"


def not_in_base(tree: Tree, roots: Collection[str]) -> Iterator[str]:
    for name, module in loaded_by(tree, roots).items():
        if not (is_standard(name) or within(name, OURS) or within(name, BASE)):
            yield f"{module} loads {name}"


def heavy_at_load(tree: Tree, roots: Collection[str]) -> Iterator[str]:
    for name, module in loaded_by(tree, roots).items():
        if within(name, HEAVY):
            yield f"{module} loads {name}"


@pytest.fixture(scope="module")
def tree() -> Tree:
    found = tree_of(ROOT, OURS)
    assert len(found) > 50
    return found


def test_imports_point_one_way(tree: Tree) -> None:
    assert list(wrong_directions(tree)) == []


def test_clients_and_environment_stay_in_their_places(tree: Tree) -> None:
    assert list(misplaced(tree)) == []


def test_a_light_install_loads_nothing_beyond_the_base(tree: Tree) -> None:
    assert list(not_in_base(tree, LIGHT)) == []


def test_models_are_loaded_at_first_use(tree: Tree) -> None:
    assert list(heavy_at_load(tree, NEVER_AT_LOAD)) == []


def test_interfaces_exist_and_speak_to_nothing_outside(tree: Tree) -> None:
    assert set(INTERFACES) <= set(tree)
    assert list(not_in_base(tree, INTERFACES)) == []


# The checker itself: each rule refuses what breaks it.


def made_up(**sources: str) -> Tree:
    """Modules by name, with __ for dots."""
    named = {name.replace("__", "."): source for name, source in sources.items()}
    return {module: imports_of(source, module) for module, source in named.items()}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas__pair", "import workers.policy"),
        ("producers__publisher", "from workers import policy"),
        ("consumers__reader", "def f():\n    from producers import publisher"),
        ("workers__runtime__poll", "from workers.stages.score import ScoreStage"),
        ("workers__runtime__poll", "from ..stages import score"),
        ("workers__runtime__kafka__session", "import workers.policy"),
        ("workers__stores__redis_dedup", "from workers.models.scorer import Scorer"),
        ("workers__checks__length", "if TYPE_CHECKING:\n    import workers.captioners.rules"),
        ("workers__stages__score", "from workers.models.open_clip import OpenClip"),
        ("workers__stages__score", "import_module('workers.stores.redis_dedup')"),
        ("workers__stages__score", "from workers.runtime import worker"),
        ("workers__text__clean", "import workers.stages.ingest"),
        ("workers__newcomer", "import schemas"),
    ],
)
def test_a_wrong_direction_is_seen(module: str, source: str) -> None:
    assert len(list(wrong_directions(made_up(**{module: source})))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workers__stages__score", "from workers.models.scorer import Scorer"),
        ("workers__stages__score", "from workers.runtime.stage import Reject"),
        ("workers__stages__sink__stage", "from .chain import Chain"),
        ("workers__captioners__rules", "from workers.text import clauses"),
        ("workers__cli__run", "import producers.publisher, consumers.reader, workers.runtime"),
    ],
)
def test_the_right_direction_is_not(module: str, source: str) -> None:
    tree = made_up(**{module: source})

    assert list(wrong_directions(tree)) + list(misplaced(tree)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workers__stages__score", "import kafka.errors"),
        ("producers__image", "from kafka import KafkaProducer"),
        ("workers__images__fetch", "def f():\n    import redis"),
        ("workers__models__open_clip", "from botocore import exceptions"),
        ("workers__models__open_clip", "import os\nkey = os.environ['KEY']"),
        ("workers__policy", "import os\nkey = os.getenv('KEY')"),
        ("workers__policy", "from os import environ"),
        ("workers__demo__crawl", "import producers.publisher"),
        ("workers__stages__sink__stage", "from consumers.manifests import read"),
        ("workers__demo__crawl", "from workers.cli import app"),
    ],
)
def test_a_client_out_of_its_place_is_seen(module: str, source: str) -> None:
    assert len(list(misplaced(made_up(**{module: source})))) == 1


def test_what_is_loaded_by_way_of_another_module_is_seen() -> None:
    tree = made_up(
        workers__cli__run="from workers.demo.crawl import Crawl",
        workers__demo__crawl="class Crawl:\n    import numpy.random",
    )

    assert list(not_in_base(tree, LIGHT)) == ["workers.demo.crawl loads numpy.random"]


def test_what_is_imported_at_first_use_is_not_loaded() -> None:
    tree = made_up(
        workers__cli__run=(
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    import torch\n"
            "def run():\n    import torch\n"
        ),
        schemas__pair="import json, pydantic",
    )

    assert list(not_in_base(tree, LIGHT)) == []


def test_models_at_the_top_are_seen() -> None:
    tree = made_up(workers__runtime__worker="try:\n    import torch\nexcept ImportError:\n    pass")

    assert list(heavy_at_load(tree, NEVER_AT_LOAD)) == ["workers.runtime.worker loads torch"]
