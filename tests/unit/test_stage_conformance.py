"""Every stage of the pipeline passes the suite for stages, on real parts.

A stage is found by its wiring, so that a new one is tested from its start. The parts are Valkey, a
folder and the demo's models; the outages are real too.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import kaption.workers.stages
from kaption.connections.settings import RedisConnection, StoreConnection
from kaption.schemas import CaptionedPair, ImageRef
from kaption.schemas.topics import TOPICS
from kaption.testing.records import caption
from kaption.testing.stage_bench import StageBench
from kaption.testing.stages import Outages, StageConformance
from kaption.workers.local import Valkey
from kaption.workers.plugins import OWN_STAGES
from kaption.workers.policy.ingest import ImagePolicy, IngestPolicy, TextPolicy
from kaption.workers.policy.outputs import SinkPolicy
from kaption.workers.policy.recaption import RecaptionPolicy, SamplingPolicy, TransformersPolicy
from kaption.workers.policy.score import ClipPolicy
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.runtime.stage import Stage
from kaption.workers.settings import Settings
from kaption.workers.wiring import OUTPUTS, STAGES, AnyStage, build_stage
from support.parts import serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with serving(Valkey()) as server:
        yield server


class TestOurStages(StageConformance):
    @pytest.fixture(scope="class", params=list(STAGES))
    @classmethod
    def stage(
        cls, request: pytest.FixtureRequest, own_valkey: Valkey, blobs, folder: Path
    ) -> AnyStage:
        connection = RedisConnection.model_validate({"url": own_valkey.url})
        prefix = f"{folder.name}-{request.param}:"
        settings = _settings(connection.model_copy(update={"key_prefix": prefix}), folder)
        return build_stage(request.param, settings)

    @pytest.fixture(scope="class")
    @classmethod
    def outages(cls, own_valkey: Valkey, folder: Path) -> Outages:
        @contextmanager
        def redis_down() -> Iterator[None]:
            own_valkey.stop()
            try:
                yield
            finally:
                own_valkey.start()

        @contextmanager
        def store_down() -> Iterator[None]:
            store = folder / "store"
            elsewhere = store.rename(store.with_suffix(".unmounted"))
            try:
                yield
            finally:
                elsewhere.rename(store)

        return {"Redis": redis_down, "object store": store_down}

    def record(self, kind: type[Any], number: int, image: ImageRef) -> Any:
        record = super().record(kind, number, image)
        if kind is not CaptionedPair:
            return record
        return record.model_copy(update={"candidates": (caption("a green star in the sky"),)})

    def test_its_topics_are_those_of_wiring_and_contract(self, bench: StageBench) -> None:
        stage = bench.stage
        topics = {topic.name for topic in TOPICS}

        assert stage.inputs == STAGES[stage.name]
        assert stage.outputs == OUTPUTS[stage.name]
        assert {topic.name for topic in (*stage.inputs, *stage.outputs)} <= topics

    def test_nothing_heavy_is_taken_by_the_constructor(self, bench: StageBench) -> None:
        # Models are loaded in setup: settings and doctor make stages without them.
        names = set(inspect.signature(type(bench.stage)).parameters)

        assert not names & {"model", "scorer", "captioners", "processor"}


def test_every_stage_of_the_package_is_wired() -> None:
    built = {name: build_stage(name, Settings()) for name in STAGES}

    assert {kind: kind.name for kind in _defined()} == {type(s): name for name, s in built.items()}
    assert OWN_STAGES.others == (*STAGES, "all")
    for stage in built.values():
        stage.close()


def _settings(connection: RedisConnection, folder: Path) -> Settings:
    return Settings(
        redis=connection,
        store=StoreConnection(url=str(folder / "store")),
        ingest=IngestPolicy(
            image=ImagePolicy(decode_processes=1), text=TextPolicy(detect_languages=("en", "de"))
        ),
        clip=ClipPolicy(model="demo", device="cpu", threads=1),
        recaption=RecaptionPolicy(
            transformers=TransformersPolicy(
                model="demo",
                device="cpu",
                threads=1,
                sampling=SamplingPolicy(candidates=2, max_new_tokens=8),
            )
        ),
        # The captions here are of no image in particular. The cost of worn phrases moves with each
        # batch, so it is the one number that a record may not get again.
        select=SelectPolicy(min_score=-1.0, audit_fraction=0.5, worn_cost=0.0),
        sink=SinkPolicy(spool=str(folder)),
    )


def _defined() -> set[type[Stage[Any, Any]]]:
    found = set()
    for module in pkgutil.walk_packages(kaption.workers.stages.__path__, "kaption.workers.stages."):
        members = inspect.getmembers(import_module(module.name), inspect.isclass)
        found |= {kind for _, kind in members if issubclass(kind, Stage) and kind is not Stage}
    return found
