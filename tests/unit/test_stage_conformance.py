"""What every stage keeps to, found by listing the package."""

import inspect
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_args, get_origin

import pytest

import workers.stages
from schemas.topics import DEAD, REJECTED, TOPICS
from workers.runtime.stage import Stage

AnyStage = type[Stage[Any, Any]]


def _stages() -> list[AnyStage]:
    found = []
    for module in iter_modules(workers.stages.__path__):
        names = vars(import_module(f"workers.stages.{module.name}"))
        found += [
            value
            for value in names.values()
            if inspect.isclass(value)
            and issubclass(value, Stage)
            and value.__module__ == f"workers.stages.{module.name}"
        ]
    return found


STAGES = _stages()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
class TestConformance:
    def test_it_is_whole_and_named_after_its_module(self, stage: AnyStage) -> None:
        assert not inspect.isabstract(stage)
        assert stage.name == stage.__module__.rsplit(".", 1)[1]

    def test_its_inputs_hold_the_record_it_takes(self, stage: AnyStage) -> None:
        bases = vars(stage)["__orig_bases__"]
        (base,) = [base for base in bases if get_origin(base) is Stage]
        record = get_args(base)[0]

        assert stage.inputs
        assert {topic.record for topic in stage.inputs} == {record}

    def test_its_topics_are_of_the_contract_and_leave_the_engine_its_own(
        self, stage: AnyStage
    ) -> None:
        topics = {topic.name for topic in TOPICS}

        assert {topic.name for topic in (*stage.inputs, *stage.outputs)} <= topics
        assert not {REJECTED.name, DEAD.name} & {topic.name for topic in stage.outputs}

    def test_nothing_heavy_is_taken_by_the_constructor(self, stage: AnyStage) -> None:
        # Models are loaded in setup: settings and doctor make stages without them.
        names = set(inspect.signature(stage).parameters)

        assert not names & {"model", "scorer", "captioners", "processor"}


def test_stages_are_found_and_their_names_differ() -> None:
    names = [stage.name for stage in STAGES]

    assert {"ingest", "score", "recaption", "select"} <= set(names)
    assert len(set(names)) == len(names)
