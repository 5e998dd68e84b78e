"""What every stage keeps to."""

# ruff: noqa: D102 - a test's name says what it shows

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    ImageRef,
    ImageSource,
    Pair,
    Provenance,
    RawPair,
    Reason,
    StageTrace,
    Topic,
    decode,
    encode,
    headers_of,
)
from kaption.schemas.topics import DEAD, REJECTED
from kaption.testing.records import blob_ref, image_ref, record_of
from kaption.testing.stage_bench import AnyStage, StageBench
from kaption.workers.runtime.stage import Emit, Reject, Stage

Outages = Mapping[str, Callable[[], AbstractContextManager[None]]]
TEXT = "A large red circle on a snowy field"


class StageConformance:
    """Override the fixture `stage`, and `record` where the stage would not pass on any record."""

    reads_images = True
    """Whether the stage opens stored images; then it rejects a record whose image is gone."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Give a folder of the class's own; its `store` holds the images."""
        return tmp_path_factory.mktemp("stage")

    @pytest.fixture(scope="class")
    @classmethod
    def blobs(cls, folder: Path) -> BlobStore:
        """Give the store of images, for the stage as well."""
        (folder / "store").mkdir(exist_ok=True)
        return BlobStore(FolderStore(folder / "store"))

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> AnyStage:
        raise NotImplementedError("override the fixture `stage`")

    @pytest.fixture(scope="class")
    @classmethod
    def outages(cls) -> Outages:
        """Return what takes a store of the stage away for a block, by what `ready` calls it."""
        return {}

    @pytest.fixture(scope="class")
    @classmethod
    def bench(cls, stage: AnyStage, blobs: BlobStore) -> Iterator[StageBench]:
        """Set the stage up as the engine does, and close it in the end."""
        stage.setup()
        for topic in stage.inputs:
            assert stage.resume(topic.name, 0, 0) == 0
        yield StageBench(stage, blobs, partial(cls().record, stage.inputs[0].record))
        stage.close()

    def record(self, kind: type[Any], number: int, image: ImageRef) -> Any:
        """An input record that the stage passes on."""
        changed: dict[str, Any] = {"text": TEXT, "image": image, "extra": {"crawl": number}}
        if kind is RawPair:
            changed["image"] = ImageSource(blob=image.blob)
        elif "clean_text" in kind.model_fields:
            changed["clean_text"] = TEXT
        return record_of(kind, number, **changed)

    def test_its_topics_hold_the_records_that_its_class_names(self, bench: StageBench) -> None:
        stage = bench.stage
        bases = [
            base for each in type(stage).__mro__ for base in vars(each).get("__orig_bases__", ())
        ]
        (base,) = [base for base in bases if get_origin(base) is Stage]

        assert stage.name
        assert {topic.record for topic in stage.inputs} == {get_args(base)[0]}
        assert not {REJECTED, DEAD} & {*stage.outputs}, "the engine writes to these itself"

    def test_a_batch_is_limited(self, bench: StageBench) -> None:
        (message,) = bench.messages(1)
        size = bench.stage.size_of(message, bench.stage.prepare(message))
        limits = bench.stage.batching

        assert limits.max_records >= 1
        assert limits.max_wait_s > 0
        assert size >= 0 if limits.max_bytes is None else 0 < size < limits.max_bytes

    def test_what_goes_on_is_whole_in_order_and_traced_once(self, bench: StageBench) -> None:
        # Given records that the stage passes on
        messages = bench.messages(3)

        # When they are processed
        outcomes = bench.run(messages)

        # Then each goes to declared outputs, as the pair it was and with one trace more
        assert len(outcomes) == len(messages)
        for message, outcome in zip(messages, outcomes, strict=True):
            assert isinstance(outcome, Emit)
            assert bool(outcome.outputs) == bool(bench.stage.outputs)
            for topic, record in outcome.outputs:
                assert topic in bench.stage.outputs
                assert type(record) is topic.record
                assert decode(encode(record), topic.record, headers_of(record)) == record
                if isinstance(record, Pair):
                    before = message.record
                    assert (record.pair_id, record.extra) == (before.pair_id, before.extra)
                if (provenance := getattr(record, "provenance", None)) is not None:
                    earlier = getattr(message.record, "provenance", Provenance()).stages
                    assert provenance.stages[:-1] == earlier
                    assert provenance.stages[-1].stage == bench.stage.name

    def test_its_probe_works_again_and_again(self, bench: StageBench) -> None:
        for _ in range(2):
            bench.stage.probe()

    def test_a_record_whose_image_is_gone_is_rejected_and_the_others_go_on(
        self, bench: StageBench
    ) -> None:
        # Given three records, one of which names an image that nobody stored
        messages = bench.messages(2)
        messages.insert(1, bench.message(next(bench.offsets), image_ref(blob_ref())))

        # When they are processed
        first, missing, last = bench.run(messages)

        # Then that one is rejected, where the stage reads images, and the others go on
        if self.reads_images:
            assert isinstance(missing, Reject)
            assert missing.reason is Reason.BLOB_MISSING
        assert isinstance(first, Emit)
        assert isinstance(last, Emit)

    def test_a_record_that_is_delivered_again_has_the_same_outcome(self, bench: StageBench) -> None:
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

    def test_while_a_store_is_down_records_wait_and_none_is_lost(
        self, bench: StageBench, outages: Outages
    ) -> None:
        assert bench.stage.ready() is None
        for store, outage in outages.items():
            # Given records before preparation and after
            new = bench.messages(2)
            prepared = [(message, bench.stage.prepare(message)) for message in bench.messages(2)]

            # When a store goes
            with outage():
                named = bench.stage.ready()
                early, retries = bench.attempt(new, prepared)

            # Then what needs it waits, and readiness says why; what does not need it goes on
            assert bool(retries) == (named is not None)
            assert all(store in text for text in (*retries, named or store))
            assert all(isinstance(outcome, Emit) for outcome in early)

            # And nothing was lost when it is back
            assert bench.stage.ready() is None
            outcomes = [*bench.run(new), *bench.stage.process(prepared)]
            assert all(isinstance(outcome, Emit) for outcome in outcomes)


def _leaves(value: object) -> Iterator[object]:
    """The values in outcomes, without times."""
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
