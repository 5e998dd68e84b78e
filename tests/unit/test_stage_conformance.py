"""What every stage keeps to; a stage is found by its wiring, so a new one is tested from its start.

The stages run on real parts (Valkey, a folder, the demo's models); the outages are real too.
"""

from __future__ import annotations

import inspect
import itertools
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

import kaption.workers.stages
from kaption.connections.errors import Retry
from kaption.connections.settings import RedisConnection, StoreConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    BlobRef,
    Caption,
    CaptionKind,
    DedupInfo,
    ImageRef,
    Pair,
    Position,
    Provenance,
    Reason,
    Route,
    StageTrace,
    Topic,
    decode,
    encode,
    headers_of,
)
from kaption.schemas.topics import DEAD, REJECTED, TOPICS
from kaption.workers.local import Valkey
from kaption.workers.policy import (
    ClipPolicy,
    ImagePolicy,
    IngestPolicy,
    RecaptionPolicy,
    SamplingPolicy,
    SelectPolicy,
    SinkPolicy,
    TextPolicy,
    TransformersPolicy,
)
from kaption.workers.runtime.stage import Emit, Incoming, Outcome, Reject, Stage
from kaption.workers.settings import Settings
from kaption.workers.wiring import OUTPUTS, STAGES, AnyStage, build_stage
from support.ingest_bench import image_bytes
from support.parts import serving

pytestmark = pytest.mark.slow

TEXT = "A large red circle on a snowy field"


@dataclass
class Bench:
    """A stage that is set up, its stores at hand, and what the engine does with it."""

    stage: AnyStage
    valkey: Valkey
    folder: Path
    offsets: Iterator[int] = field(default_factory=itertools.count)

    def messages(self, count: int) -> list[Incoming[Any]]:
        """New records with new images, each after the one before in one partition."""
        blobs = BlobStore(FolderStore(self.folder))
        return [
            self.message(blobs.put(image_bytes(offset, kind="JPEG"), "image/jpeg"), offset)
            for offset in itertools.islice(self.offsets, count)
        ]

    def message(self, blob: BlobRef, offset: int) -> Incoming[Any]:
        topic = self.stage.inputs[0]
        position = Position(topic.name, 0, offset)
        return Incoming(_record(topic.record, blob, offset), position, position)

    def run(self, messages: list[Incoming[Any]]) -> list[Outcome]:
        """Prepare each, process the batch; outcomes in the records' order."""
        outcomes: dict[Position, Outcome] = {}
        batch = []
        for message in messages:
            try:
                batch.append((message, self.stage.prepare(message)))
            except Reject as reject:
                outcomes[message.position] = reject
        done = self.stage.process(batch) if batch else ()
        for (message, _), outcome in zip(batch, done, strict=True):
            outcomes[message.position] = outcome
        return [outcomes[message.position] for message in messages]

    @contextmanager
    def redis_down(self) -> Iterator[None]:
        self.valkey.stop()
        try:
            yield
        finally:
            self.valkey.start()

    @contextmanager
    def store_down(self) -> Iterator[None]:
        elsewhere = self.folder.rename(self.folder.with_suffix(".unmounted"))
        try:
            yield
        finally:
            elsewhere.rename(self.folder)


OUTAGES: dict[str, Callable[[Bench], AbstractContextManager[None]]] = {
    "Redis": Bench.redis_down,
    "object store": Bench.store_down,
}
"""What `Stage.ready` has to name while it lasts."""


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with serving(Valkey()) as server:
        yield server


@pytest.fixture(scope="module", params=list(STAGES))
def bench(
    request: pytest.FixtureRequest, own_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "store").mkdir()
    connection = RedisConnection.model_validate({"url": own_valkey.url})
    stage = build_stage(request.param, _settings(connection, folder))
    stage.setup()
    for topic in stage.inputs:
        assert stage.resume(topic.name, 0, 0) == 0
    yield Bench(stage, own_valkey, folder / "store")
    stage.close()


def _settings(connection: RedisConnection, folder: Path) -> Settings:
    return Settings(
        redis=connection.model_copy(update={"key_prefix": f"{folder.name}:"}),
        store=StoreConnection(url=str(folder / "store")),
        ingest=IngestPolicy(
            image=ImagePolicy(decode_processes=1), text=TextPolicy(detect_languages=("en", "de"))
        ),
        clip=ClipPolicy(device="cpu", threads=1),
        recaption=RecaptionPolicy(
            transformers=TransformersPolicy(
                device="cpu", threads=1, sampling=SamplingPolicy(candidates=2, max_new_tokens=8)
            )
        ),
        # The captions here are of no image in particular.
        select=SelectPolicy(min_score=-1.0, audit_fraction=0.5),
        sink=SinkPolicy(spool=str(folder)),
    )


def _record(kind: type[Any], blob: BlobRef, number: int) -> Any:
    """A record of any topic: of all the fields there are, those that its type has."""
    ref = ImageRef(
        blob=blob,
        width=256,
        height=192,
        original_sha256=blob.sha256,
        original_width=256,
        original_height=192,
        original_bytes=blob.bytes,
        original_format="JPEG",
    )
    known: dict[str, Any] = {
        "pair_id": f"pair-{number}",
        "text": TEXT,
        "image": ref if "dedup" in kind.model_fields else {"blob": blob},
        "extra": {"crawl": number},
        "clean_text": TEXT,
        "dedup": DedupInfo(owner=f"pairs.raw/0/{number}"),
        "original": Caption(text=TEXT, kind=CaptionKind.ORIGINAL),
        "route": Route.NEEDS_CAPTION,
        "candidates": (Caption(text="a green star in the sky", kind=CaptionKind.VLM, model="m"),),
        "captions": (Caption(text=TEXT, kind=CaptionKind.ORIGINAL, score=0.3),),
    }
    return kind(**{name: value for name, value in known.items() if name in kind.model_fields})


def _leaves(value: object) -> Iterator[object]:
    """What outcomes are made of, but for what a clock said."""
    match value:
        case Emit():
            yield from _leaves(value.outputs)
        case Reject():
            yield str(value)
        case StageTrace():
            yield from (value.stage, value.config_hash, *value.models.items())
        case Topic():
            yield value.name
        case BaseModel():
            for name, inner in value:
                yield name
                yield from _leaves(inner)
        case tuple() | list():
            for inner in value:
                yield from _leaves(inner)
        case _:
            yield value


def _pair(output: tuple[Any, Any]) -> tuple[Any, Any]:
    assert isinstance(output[1], Pair)
    return output


def _defined() -> set[type[Stage[Any, Any]]]:
    found = set()
    for module in pkgutil.walk_packages(kaption.workers.stages.__path__, "kaption.workers.stages."):
        members = inspect.getmembers(import_module(module.name), inspect.isclass)
        found |= {kind for _, kind in members if issubclass(kind, Stage) and kind is not Stage}
    return found


class TestConformance:
    def test_name_and_topics_are_those_of_wiring_and_contract(self, bench: Bench) -> None:
        stage = bench.stage
        topics = {topic.name for topic in TOPICS}
        bases = vars(type(stage))["__orig_bases__"]
        (base,) = [base for base in bases if get_origin(base) is Stage]

        assert stage.inputs == STAGES[stage.name]
        assert stage.outputs == OUTPUTS[stage.name]
        assert {topic.record for topic in stage.inputs} == {get_args(base)[0]}
        assert {topic.name for topic in (*stage.inputs, *stage.outputs)} <= topics
        assert not {REJECTED, DEAD} & {*stage.outputs}

    def test_nothing_heavy_is_taken_by_the_constructor(self, bench: Bench) -> None:
        # Models are loaded in setup: settings and doctor make stages without them.
        names = set(inspect.signature(type(bench.stage)).parameters)

        assert not names & {"model", "scorer", "captioners", "processor"}

    def test_a_batch_is_limited(self, bench: Bench) -> None:
        (message,) = bench.messages(1)
        size = bench.stage.size_of(message, bench.stage.prepare(message))
        limits = bench.stage.batching

        assert limits.max_records >= 1
        assert limits.max_wait_s > 0
        assert size >= 0 if limits.max_bytes is None else 0 < size < limits.max_bytes

    def test_what_goes_on_is_whole_in_order_and_traced_once(self, bench: Bench) -> None:
        # Given records that nothing speaks against
        messages = bench.messages(3)

        # When they are processed
        outcomes = bench.run(messages)

        # Then each goes to declared outputs as the record it was and one trace more
        assert len(outcomes) == len(messages)
        for message, outcome in zip(messages, outcomes, strict=True):
            assert isinstance(outcome, Emit)
            assert bool(outcome.outputs) == bool(bench.stage.outputs)
            for topic, record in map(_pair, outcome.outputs):
                assert topic in bench.stage.outputs
                assert type(record) is topic.record
                assert decode(encode(record), topic.record, headers_of(record)) == record
                assert (record.pair_id, record.extra) == (
                    message.record.pair_id,
                    message.record.extra,
                )
                before = getattr(message.record, "provenance", Provenance()).stages
                assert record.provenance.stages[:-1] == before
                assert record.provenance.stages[-1].stage == bench.stage.name

    def test_a_missing_blob_is_the_records_reason(self, bench: Bench) -> None:
        # Given three records, one of which names a blob that nobody stored
        messages = bench.messages(2)
        gone = BlobRef(sha256="0" * 64, bytes=1000, media_type="image/jpeg")
        messages.insert(1, bench.message(gone, next(bench.offsets)))

        # When they are processed
        first, missing, last = bench.run(messages)

        # Then that one is refused and the others go on
        assert isinstance(missing, Reject)
        assert missing.reason is Reason.BLOB_MISSING
        assert isinstance(first, Emit)
        assert isinstance(last, Emit)

    def test_redelivery_has_the_same_outcomes(self, bench: Bench) -> None:
        # Given a batch that was processed, but for its commit
        messages = bench.messages(3)
        batch = [(message, bench.stage.prepare(message)) for message in messages]
        first = bench.stage.process(batch)

        # When it is processed again as it is, and delivered again in parts
        again = bench.stage.process(batch)
        parts = [*bench.run(messages[:1]), *bench.run(messages[1:])]

        # Then (the last digits of a model's numbers depend on the shape of the batch)
        same = [
            pytest.approx(leaf, abs=1e-5) if isinstance(leaf, float) else leaf
            for leaf in _leaves(list(first))
        ]
        assert list(_leaves(list(again))) == same
        assert list(_leaves(parts)) == same

    @pytest.mark.parametrize("store", OUTAGES)
    def test_an_outage_makes_records_wait_and_nothing_else(self, bench: Bench, store: str) -> None:
        # Given records before preparation and after
        assert bench.stage.ready() is None
        new = bench.messages(2)
        prepared = [(message, bench.stage.prepare(message)) for message in bench.messages(2)]

        # When a store goes
        retries: list[str] = []
        early: list[Outcome] = []
        with OUTAGES[store](bench):
            named = bench.stage.ready()
            for call in (lambda: bench.run(new), lambda: bench.stage.process(prepared)):
                try:
                    early += call()
                except Retry as retry:
                    retries.append(str(retry))

        # Then what needs it waits, and readiness says why; what does not need it goes on
        assert bool(retries) == (named is not None)
        assert all(store in text for text in (*retries, named or store))
        assert all(isinstance(outcome, Emit) for outcome in early)

        # And nothing was lost when it is back
        assert bench.stage.ready() is None
        outcomes = [*bench.run(new), *bench.stage.process(prepared)]
        assert all(isinstance(outcome, Emit) for outcome in outcomes)


def test_every_stage_of_the_package_is_wired() -> None:
    built = {name: build_stage(name, Settings()) for name in STAGES}

    assert {kind: kind.name for kind in _defined()} == {type(s): name for name, s in built.items()}
    for stage in built.values():
        stage.close()
