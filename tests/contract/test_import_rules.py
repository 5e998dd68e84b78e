"""The rules for imports refuse what breaks them, and nothing else."""

import pytest

from support.import_rules import (
    LIGHT,
    NEVER_AT_LOAD,
    cycle_of,
    heavy_at_load,
    misplaced,
    not_in_base,
    wrong_directions,
)
from support.imports import Tree, imports_of


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


@pytest.mark.parametrize(
    "back",
    [
        "import kaption.schemas.pair",
        "def f():\n    from kaption.schemas.pair import RawPair",
        "if TYPE_CHECKING:\n    from kaption.schemas.pair import RawPair",
    ],
)
def test_modules_that_import_each_other_are_seen(back: str) -> None:
    tree = made_up(schemas__pair="from kaption.schemas import image", schemas__image=back)

    assert set(cycle_of(tree)) == {"kaption.schemas.pair", "kaption.schemas.image"}
