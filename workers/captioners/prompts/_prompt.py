"""One prompt: a template with placeholders, and what fills them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kaption.workers.policy.recaption import SamplingPolicy

WEB = frozenset({"alt_text", "tags", "ocr"})
"""Placeholders for what came with the image from the web."""
PLACEHOLDERS = WEB | {"language"}
"""Placeholders for fields of the record. Any other placeholder is the name of a prompt, and stands
for that prompt's answer."""
_PLACEHOLDER = re.compile(r"\{([^{}\"]*)\}")
"""Matches a placeholder, and not a template's own JSON such as ``{"caption": "..."}``."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A question, or the beginning of a caption. ``{alt_text}`` and its like are placeholders."""

    id: str
    template: str
    """The text. The prompt is asked only where each placeholder of the template has a value."""
    aspect: str
    """``appearance``, ``texture``, ``context`` or ``fused``."""
    more: tuple[str, ...] = ()
    """What follows the template. A part with a placeholder that has no value is left out."""
    sampling: tuple[tuple[str, Any], ...] = ()
    """Fields of `SamplingPolicy` that this prompt has of its own."""

    @property
    def name(self) -> str:
        """The id without set and digest. Other prompts refer to this prompt's answer by it."""
        return self.id.rpartition("/")[2].partition("@")[0]

    @property
    def needs(self) -> frozenset[str]:
        """Placeholders without which it is not asked."""
        return names_in(self.template)

    @property
    def quotes(self) -> frozenset[str]:
        """All of its placeholders."""
        return self.needs.union(*map(names_in, self.more))

    @property
    def candidates(self) -> int | None:
        """How often it is asked for an image; None: as often as its share of all candidates."""
        return dict(self.sampling).get("candidates")

    @property
    def digest(self) -> str:
        """16 hex digits over all that an answer depends on, without the answers that it quotes."""
        parts = [self.aspect, self.template, self.more, sorted(self.sampling)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def drawn(self, base: SamplingPolicy) -> SamplingPolicy:
        """How its answers are drawn, by what `base` says of all prompts."""
        own = dict(self.sampling) | {"candidates": base.candidates}
        return base.model_copy(update=own)

    def parts(self, known: set[str]) -> list[str] | None:
        """The parts to ask where these placeholders have a value. None: it is not asked."""
        if not self.needs <= known:
            return None
        return [self.template, *(each for each in self.more if names_in(each) <= known)]


def names_in(text: str) -> frozenset[str]:
    """The placeholders of a template."""
    return frozenset(found[1].strip() for found in _PLACEHOLDER.finditer(text))


def filled(text: str, values: Mapping[str, str]) -> str:
    """The template with its values, in one pass: what looks like a placeholder in a value stays."""
    return _PLACEHOLDER.sub(lambda found: values[found[1].strip()], text)
