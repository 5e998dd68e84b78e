"""deploy/Dockerfile as data: its stages, their instructions and how they depend on each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


class Step(NamedTuple):
    """One instruction, such as RUN, and its arguments as text."""

    instruction: str
    value: str


class Stage(NamedTuple):
    """A stage: its base, which is a stage or an image, and its own instructions."""

    base: str
    steps: tuple[Step, ...]

    @property
    def copied_from(self) -> list[str]:
        """The stages that this stage copies from."""
        return [name for step in self.steps for name in re.findall(r"^--from=(\S+)", step.value)]


def _read() -> Mapping[str, Stage]:
    with DOCKERFILE.open("rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    stages: dict[str, Stage] = {}
    name = ""
    for each in structure:
        if each["instruction"] == "FROM":
            base, _, name = each["value"].split()
            stages[name] = Stage(base, ())
        elif name and each["instruction"] != "COMMENT":
            base, steps = stages[name]
            stages[name] = Stage(base, (*steps, Step(each["instruction"], each["value"])))
    return stages


STAGES = _read()
"""By name: each stage of the Dockerfile has one."""


def steps(name: str) -> list[Step]:
    """All instructions of a stage: first those of its base, then its own."""
    base, own = STAGES[name]
    return [*(steps(base) if base in STAGES else ()), *own]


def last(name: str, instruction: str) -> str:
    """The arguments of the last instruction of a kind, the one that holds."""
    return [value for it, value in steps(name) if it == instruction][-1]


def needs(name: str) -> set[str]:
    """The stages that a stage is based on or copies from, and itself."""
    others = {STAGES[name].base, *STAGES[name].copied_from} & STAGES.keys()
    return {name}.union(*map(needs, others))


def copied_from_context(name: str) -> set[str]:
    """What a stage, and the stages that it needs, copy from the repository."""
    return {
        word
        for stage in needs(name)
        for instruction, value in STAGES[stage].steps
        if instruction == "COPY" and not value.startswith("--from")
        for word in value.split()[:-1]
    }
