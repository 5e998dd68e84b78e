"""The stages of deploy/Dockerfile and how they depend on each other."""

from __future__ import annotations

import dockerfile

STAGES = dockerfile.read()


def steps(name: str) -> list[dockerfile.Step]:
    """All instructions of a stage, those of the stages that it is from before its own."""
    base, own = STAGES[name]
    return [*(steps(base) if base in STAGES else ()), *own]


def needs(name: str) -> set[str]:
    """The stages that one is from, or copies from, itself included."""
    others = {STAGES[name].base, *STAGES[name].copied_from} & STAGES.keys()
    return {name}.union(*map(needs, others))


def copied_from_context(name: str) -> set[str]:
    """What a stage and those that it needs take from the repository."""
    return {
        word
        for stage in needs(name)
        for instruction, value in STAGES[stage].steps
        if instruction == "COPY" and not value.startswith("--from")
        for word in value.split()[:-1]
    }
