"""deploy/Dockerfile as data: its stages and their instructions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dockerfile_parse import DockerfileParser

FILE = Path(__file__).with_name("Dockerfile")
CONTEXT = FILE.parents[1]


class Step(NamedTuple):
    """One instruction, such as RUN, and what follows it."""

    instruction: str
    value: str


class Stage(NamedTuple):
    """What a stage is from, a stage or an image, and its own steps."""

    base: str
    steps: tuple[Step, ...]

    @property
    def copied_from(self) -> list[str]:
        """The stages that it copies from."""
        return [name for step in self.steps for name in re.findall(r"^--from=(\S+)", step.value)]


def read() -> Mapping[str, Stage]:
    """Every stage by its name; each one has a name here."""
    with FILE.open("rb") as file:
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
