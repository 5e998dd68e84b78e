"""Imports point one way: the rules of the design, held by reading the sources."""

from collections.abc import Collection, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.imports import Tree, imports_of, is_standard, loaded_by, tree_of, within

OURS = ("kaption",)
FLOORS = ("kaption.schemas", "kaption.connections", "kaption.objectstore")
"""What every side stands on, lowest first: each imports itself and what is below it."""
STAGE = "kaption.workers.runtime.stage"
BASICS = ("kaption.schemas", "kaption.connections.errors", "kaption.workers.policy", STAGE)
"""What every part of a stage may use: records, errors, policies and what outcomes there are."""
INTERFACES = (
    "kaption.workers.captioners.captioner",
    "kaption.workers.checks.check",
    "kaption.workers.checks.words",
    "kaption.workers.models.scorer",
    "kaption.workers.models.windows",
)
"""What stages know of captioners, checks and models: protocols, and what is written in terms of
them."""

MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kaption": ("kaption",),  # the front door
    "kaption.plugins": ("kaption.connections.errors",),  # the loader: producers and workers use it
    "kaption.schemas": FLOORS[:1],
    "kaption.connections": FLOORS[:2],
    "kaption.objectstore": FLOORS,
    "kaption.producers": (*FLOORS, "kaption.plugins", "kaption.producers"),
    "kaption.consumers": (*FLOORS, "kaption.consumers"),
    # The engine knows no stage.
    "kaption.workers.runtime": (*FLOORS[:2], "kaption.workers.runtime"),
    # Each family knows itself and no other.
    "kaption.workers.policy": (),
    "kaption.workers.text": (*BASICS, "kaption.workers.text"),
    "kaption.workers.fetch": (*BASICS, "kaption.workers.fetch"),
    "kaption.workers.decode": (*BASICS, "kaption.workers.decode"),
    "kaption.workers.models": (*BASICS, "kaption.workers.models", "kaption.workers.text"),
    "kaption.workers.checks": (*BASICS, "kaption.workers.checks", "kaption.workers.text"),
    "kaption.workers.captioners": (
        *BASICS,
        "kaption.workers.captioners",
        "kaption.workers.models.device",
        "kaption.workers.text",
    ),
    "kaption.workers.stores": (
        *BASICS,
        "kaption.connections",
        "kaption.workers.decode.likeness",
        "kaption.workers.stores",
    ),
    "kaption.workers.stages": (
        *BASICS,
        *INTERFACES,
        "kaption.objectstore",
        "kaption.workers.decode",
        "kaption.workers.fetch",
        "kaption.workers.stages",
        "kaption.workers.stores",
        "kaption.workers.text",
    ),
    # Whole jobs, and what ties the parts together.
    "kaption.workers.settings": (*BASICS, *FLOORS[:2], "kaption.workers.runtime.policy"),
    "kaption.workers.plugins": (
        *BASICS,
        "kaption.plugins",
        "kaption.workers.captioners",
        "kaption.workers.checks",
        "kaption.workers.models",
    ),
    "kaption.workers.wiring": (*FLOORS, "kaption.workers"),
    "kaption.workers.replay": (*FLOORS, "kaption.producers", "kaption.consumers"),
    "kaption.workers.compaction": (*FLOORS, "kaption.workers.compaction"),
    "kaption.workers.takedown": (
        *FLOORS,
        "kaption.consumers",
        "kaption.producers",
        "kaption.workers.settings",
        "kaption.workers.stores",
        "kaption.workers.takedown",
        "kaption.workers.wiring",
    ),
    "kaption.workers.batch": (
        *FLOORS,
        "kaption.consumers",
        "kaption.producers",
        "kaption.workers.batch",
        "kaption.workers.local",
        "kaption.workers.runtime",
        "kaption.workers.settings",
        "kaption.workers.wiring",
    ),
    "kaption.workers.local": ("kaption.workers.local",),
    "kaption.workers.demo": (*BASICS, "kaption.workers.decode", "kaption.workers.demo"),
    "kaption.workers.cli": OURS,
    "kaption.testing": OURS,
}
"""By package, what of ours its files may import; the entry of the longest name holds."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "kafka": ("kaption.connections.kafka",),
    "redis": ("kaption.workers.stores",),
    # Every module logs through the standard library; one file knows how a line looks.
    "structlog": ("kaption.workers.runtime.logs",),
    "boto3": ("kaption.objectstore",),
    "botocore": ("kaption.objectstore",),
    "os.environ": ("kaption.workers.settings", "kaption.workers.local"),
    "os.environb": (),
    "os.getenv": ("kaption.workers.settings",),
    # Only a command ties jobs together.
    "kaption.workers.cli": ("kaption.workers.cli",),
    "kaption.testing": ("kaption.testing",),
}
"""By name, where alone it may be imported. workers.local gives its children an environment."""

LIGHT = (
    "kaption.schemas",
    "kaption.connections",
    "kaption.objectstore",
    "kaption.producers",
    "kaption.workers.cli",
    "kaption.workers.settings",
    "kaption.workers.policy",
)
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
CLIENTS = ("KafkaConsumer", "KafkaProducer", "KafkaAdminClient")
HEAVY = ("torch", "torchvision", "transformers", "open_clip")
NEVER_AT_LOAD = (*LIGHT, "kaption.workers.runtime")

ROOT = Path(__file__).parents[2]


def wrong_directions(tree: Tree) -> Iterator[str]:
    for module, imports in tree.items():
        homes = [package for package in MAY_IMPORT if within(module, [package])]
        if max(homes, key=len) == "kaption" and module not in ("kaption", "kaption.workers"):
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
    found = tree_of(ROOT / "kaption")
    assert len(found) > 250
    return found


def test_imports_point_one_way(tree: Tree) -> None:
    assert list(wrong_directions(tree)) == []


def test_clients_and_environment_stay_in_their_places(tree: Tree) -> None:
    assert list(misplaced(tree)) == []


def test_every_kafka_client_is_constructed_in_one_file(tree: Tree) -> None:
    using = {
        (module, each.name.rpartition(".")[2])
        for module, imports in tree.items()
        for each in imports
        if each.name.startswith("kafka.") and each.name.endswith(CLIENTS)
    }

    assert using == {("kaption.connections.kafka.clients", name) for name in CLIENTS}


def test_a_light_install_loads_nothing_beyond_the_base(tree: Tree) -> None:
    assert list(not_in_base(tree, LIGHT)) == []


def test_models_are_loaded_at_first_use(tree: Tree) -> None:
    assert list(heavy_at_load(tree, NEVER_AT_LOAD)) == []


def test_interfaces_exist_and_speak_to_nothing_outside(tree: Tree) -> None:
    assert set(INTERFACES) <= set(tree)
    assert list(not_in_base(tree, INTERFACES)) == []


def cycle_of(tree: Tree) -> list[str]:
    """Modules that need each other to be loaded, or nothing."""
    graph = {
        module: {
            found
            for each in imports
            if each.at_load and (found := _module_of(each.name, tree)) not in (None, module)
        }
        for module, imports in tree.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_of(name: str, tree: Tree) -> str | None:
    while name and name not in tree:
        name = name.rpartition(".")[0]
    return name or None


def test_no_modules_need_each_other(tree: Tree) -> None:
    assert cycle_of(tree) == []


@pytest.mark.parametrize("folder", ["kaption", "tests", "bench", "examples", "deploy", "tools"])
def test_nothing_imports_a_folder_of_ours_by_its_bare_name(folder: str) -> None:
    bare = [link.name for link in (ROOT / "kaption").iterdir() if link.is_symlink()]
    assert "schemas" in bare
    links = [link for link in (ROOT / folder).iterdir() if link.is_symlink()]

    found = [
        f"{path}:{each.line} imports {each.name}"
        for top in [ROOT / folder, *links]
        for path in top.rglob("*.py")
        for each in imports_of(path.read_text(encoding="utf-8"), path.stem)
        if within(each.name, bare)
    ]

    assert found == []


# The checker itself: each rule refuses what breaks it.


def made_up(**sources: str) -> Tree:
    """Modules below kaption by name, with __ for dots."""
    named = {f"kaption.{name.replace('__', '.')}": source for name, source in sources.items()}
    return {module: imports_of(source, module) for module, source in named.items()}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("schemas__pair", "import kaption.workers.policy"),
        ("schemas__pair", "from kaption.connections import settings"),
        ("connections__tls", "from kaption.objectstore.store import ObjectStore"),
        ("producers__publisher", "from kaption.workers import policy"),
        ("consumers__reader", "def f():\n    from kaption.producers import publisher"),
        ("workers__runtime__poll", "from kaption.workers.stages.score import ScoreStage"),
        ("workers__runtime__poll", "from ..stages import score"),
        ("workers__runtime__session", "import kaption.workers.policy"),
        ("workers__stores__dedup", "from kaption.workers.models.scorer import Scorer"),
        (
            "workers__checks__length",
            "if TYPE_CHECKING:\n    import kaption.workers.captioners.rules",
        ),
        ("workers__stages__score", "from kaption.workers.models.open_clip import OpenClip"),
        ("workers__stages__score", "import_module('kaption.workers.captioners.rules')"),
        ("workers__stages__score", "from kaption.workers.runtime import worker"),
        ("workers__text__clean", "import kaption.workers.stages.ingest.stage"),
        ("workers__newcomer", "import kaption.schemas"),
    ],
)
def test_a_wrong_direction_is_seen(module: str, source: str) -> None:
    assert len(list(wrong_directions(made_up(**{module: source})))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("workers__stages__score", "from kaption.workers.models.scorer import Scorer"),
        ("workers__stages__score", "from kaption.workers.runtime.stage import Reject"),
        ("workers__stages__sink__stage", "from .spool import Spool"),
        ("workers__captioners__rules", "from kaption.workers.text import clauses"),
        ("workers__cli__run", "import kaption.producers.publisher, kaption.workers.runtime"),
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
        ("consumers__topic__reader", "from kafka import KafkaConsumer"),
        ("workers__fetch__fetcher", "def f():\n    import redis"),
        ("workers__models__open_clip", "from botocore import exceptions"),
        ("workers__models__open_clip", "import os\nkey = os.environ['KEY']"),
        ("workers__policy", "import os\nkey = os.getenv('KEY')"),
        ("workers__policy", "from os import environ"),
        ("workers__demo__crawl", "from kaption.workers.cli import app"),
    ],
)
def test_a_client_out_of_its_place_is_seen(module: str, source: str) -> None:
    assert len(list(misplaced(made_up(**{module: source})))) == 1


def test_what_is_loaded_by_way_of_another_module_is_seen() -> None:
    tree = made_up(
        workers__cli__run="from kaption.workers.demo.crawl import Crawl",
        workers__demo__crawl="class Crawl:\n    import numpy.random",
    )

    assert list(not_in_base(tree, LIGHT)) == ["kaption.workers.demo.crawl loads numpy.random"]


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

    assert list(heavy_at_load(tree, NEVER_AT_LOAD)) == [
        "kaption.workers.runtime.worker loads torch"
    ]


def test_modules_that_need_each_other_are_seen() -> None:
    tree = made_up(
        schemas__pair="from kaption.schemas import image",
        schemas__image="import kaption.schemas.pair",
    )

    assert set(cycle_of(tree)) == {"kaption.schemas.pair", "kaption.schemas.image"}
