"""Prompts that users bring, in a TOML file or in the settings."""

from __future__ import annotations

import hashlib
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
)

from kaption.connections.errors import Fatal
from kaption.schemas.faults import one_line
from kaption.workers.captioners.prompts._prompt import PLACEHOLDERS, Prompt, names_in
from kaption.workers.policy.recaption import SamplingPolicy

_ADVICE = 'write [[prompt]] and below it id = "...", aspect = "..." and template = "..."'
_FIELDS = SamplingPolicy.model_fields.keys() - {"seed"}


def _own_sampling(given: Mapping[str, Any]) -> Mapping[str, Any]:
    if strangers := sorted(given.keys() - _FIELDS):
        raise ValueError(f"it has {strangers[0]!r}: a prompt may set {', '.join(sorted(_FIELDS))}")
    return SamplingPolicy(**given).model_dump(include=set(given))


_Part = Annotated[str, StringConstraints(strip_whitespace=True, max_length=8_000)]


class _Given(BaseModel, frozen=True, extra="forbid"):
    """A prompt as users write it."""

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")] = Field(
        max_length=64
    )
    aspect: Literal["appearance", "texture", "context", "fused"]
    template: _Part | Annotated[tuple[_Part, ...], Field(min_length=1)]
    """Or a list: of its parts after the first, those without a value are left out."""
    sampling: Annotated[Mapping[str, Any], AfterValidator(_own_sampling)] = {}

    @property
    def prompt(self) -> Prompt:
        parts = (self.template,) if isinstance(self.template, str) else self.template
        sampling = tuple(sorted(self.sampling.items()))
        return Prompt(self.id, parts[0], self.aspect, parts[1:], sampling)


def read_file(path: Path) -> tuple[Prompt, ...]:
    """The prompts of a TOML file. Raises Fatal that says what is wrong with it."""
    where = f"the prompt file {path}"
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise Fatal(f"{where} cannot be read: {error.strerror}") from error
    except ValueError as error:  # no UTF-8, or no TOML
        raise Fatal(f"{where} is not TOML: {' '.join(str(error).split())}") from error
    given = content.pop("prompt", None)
    if content:
        raise Fatal(f"{where} has {next(iter(content))!r}, which is no prompt: {_ADVICE}")
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise Fatal(f"{where} has no list of prompts: {_ADVICE}")
    return read_prompts(given, where)


def read_prompts(given: Sequence[Mapping[str, Any]], where: str) -> tuple[Prompt, ...]:
    """The prompts in tables of settings. Raises Fatal with `where` and what is wrong.

    Their ids end with a digest of all that their answers depend on: a prompt that is changed is
    another prompt, in provenance and in the cache.
    """
    if not given:
        raise Fatal(f"{where} has no prompt: {_ADVICE}")
    prompts = [_read(number, each, where) for number, each in enumerate(given, 1)]
    counts = Counter(prompt.name for prompt in prompts)
    if twins := [name for name, count in counts.items() if count > 1]:
        raise Fatal(f"{where}: two prompts have the id {twins[0]!r}: give each its own")
    for prompt in prompts:
        _require_known(prompt, counts.keys(), where)
    by_name = {prompt.name: prompt for prompt in prompts}
    graph = {prompt.name: prompt.quotes & by_name.keys() for prompt in prompts}
    digests: dict[str, str] = {}
    try:
        for name in TopologicalSorter(graph).static_order():
            below = " ".join(digests[each] for each in sorted(graph[name]))
            text = f"{by_name[name].digest} {below}"
            digests[name] = hashlib.sha256(text.encode()).hexdigest()[:8]
    except CycleError as error:
        circle = " quotes ".join(reversed(error.args[1]))
        raise Fatal(f"{where}: prompts wait for each other: {circle}") from error
    return tuple(replace(each, id=f"{each.id}@{digests[each.name]}") for each in prompts)


def _read(number: int, given: Mapping[str, Any], where: str) -> Prompt:
    named = f" ({given['id']!r})" if isinstance(given.get("id"), str) else ""
    at = f"{where}: prompt {number}{named[:70]}"
    try:
        prompt = _Given(**given).prompt
    except TypeError as error:  # a key of TOML that is no name
        raise Fatal(f"{at}: {error}") from error
    except ValidationError as error:
        raise Fatal(f"{at}: {one_line(error, 'it')}") from error
    if prompt.name in PLACEHOLDERS:
        raise Fatal(f"{at}: {{{prompt.name}}} stands for what is in the record: take another id")
    return prompt


def _require_known(prompt: Prompt, names: Any, where: str) -> None:
    known = (PLACEHOLDERS | names) - {prompt.name}
    for part in (prompt.template, *prompt.more):
        if strangers := sorted(names_in(part) - known):
            raise Fatal(
                f"{where}: prompt {prompt.id!r} has the unknown placeholder {{{strangers[0]}}}:"
                f" known are {', '.join(f'{{{name}}}' for name in sorted(known))}"
            )
    if prompt.aspect == "fused" and prompt.quotes.isdisjoint(known):
        raise Fatal(f"{where}: prompt {prompt.id!r} fuses nothing: put {{alt_text}} into it")
