"""The order of prompts: one that quotes the answer to another one is asked after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from kaption.schemas import Caption, CaptionKind, Doubt, OcrText, Tag
from kaption.schemas.limits import LIST_ITEMS
from kaption.workers.captioners.answers import caption_of, whole_sentences
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.captioners.prompts._prompt import (
    PLACEHOLDERS,
    WEB,
    Prompt,
    filled,
    names_in,
)
from kaption.workers.text.clauses import cut

EVIDENCE_CHARS = 300
"""A prompt quotes this much of an alt text, of tags and of the text in an image: small models miss
the question behind more."""
ANSWER_CHARS = 1_000
"""And this much of an earlier answer."""
_MOST = 8
"""At most so many tags are quoted."""
_CONFIDENT = 0.5
"""Evidence with less confidence is not quoted; evidence without a confidence is."""
SAMPLE = CaptionContext(
    "a red circle", "en", (Tag(name="circle"), Tag(name="red")), (OcrText(text="A"),)
)
"""What is known about an image of our own, to try prompts with."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a captioner is asked about one image, for one candidate."""

    prompt: Prompt
    text: str
    number: int
    """The number of the candidate among those of the image, from 0."""
    kind: CaptionKind
    """FUSED where the text quotes what came with the image from the web; else VLM."""

    def answered(
        self,
        answer: str,
        model: str,
        revision: str,
        *,
        truncated: bool,
        doubts: Sequence[Doubt] = (),
    ) -> Caption:
        """The caption in a model's answer, without a score. `doubts` are places in the answer."""
        text = caption_of(answer)
        if truncated:
            text = whole_sentences(text)
        # Where the text is no part of the answer, nobody knows its places.
        begin = answer.find(text)
        inside = range(begin, begin + len(text) if begin >= 0 else begin)
        return Caption(
            text=text,
            doubts=tuple(
                Doubt(start=each.start - begin, rivals=each.rivals)
                for each in doubts
                if each.start in inside
            )[:LIST_ITEMS],
            kind=self.kind,
            truncated=truncated,
            model=model,
            revision=revision,
            prompt_id=self.prompt.id,
            aspect=self.prompt.aspect,
        )


class Chain:
    """The questions about an image, link by link.

    Prompts without an earlier answer in them are the first link. All images of a batch are asked
    the questions of a link before those of the next one.
    """

    def __init__(
        self, prompts: Sequence[Prompt], candidates: int, neutral: Callable[[str], str]
    ) -> None:
        """`neutral` takes the special tokens of the model out of a text."""
        self.links = _links(prompts)
        """The prompts of each link, first link first."""
        self._ordered = [prompt for link in self.links for prompt in link]
        self._candidates = candidates
        self._neutral = neutral
        self._quotes = frozenset[str]().union(*(prompt.quotes for prompt in prompts))
        self.uses_context = not self._quotes.isdisjoint(PLACEHOLDERS)

    def questions(
        self, link: Sequence[Prompt], context: CaptionContext, answers: Sequence[Caption]
    ) -> Iterator[Question]:
        """The questions of a link about one image. `answers` are those of the links before it."""
        values = {name: self._quoted(text) for name, text in self._evidence(context).items()}
        planned = self._planned({name for name, value in values.items() if value})
        given = {prompt.name: _texts(prompt, answers) for prompt in self._ordered}
        asked: Counter[Prompt] = Counter()
        for number, prompt in enumerate(planned):
            if prompt not in link:
                continue
            # The second question after another one quotes its second answer, and so on.
            mine = {
                name: given[name][asked[prompt] % len(given[name])]
                for name in prompt.quotes & given.keys()
                if given[name]
            }
            asked[prompt] += 1
            known = values | {name: self._quoted(each.text) for name, each in mine.items()}
            parts = prompt.parts({name for name, value in known.items() if value})
            if parts is None:
                continue
            used = frozenset[str]().union(*map(names_in, parts))
            fused = used & WEB or any(
                mine[name].kind is CaptionKind.FUSED for name in used & mine.keys()
            )
            kind = CaptionKind.FUSED if fused else CaptionKind.VLM
            yield Question(prompt, self._text(parts, known), number, kind)

    def samples(self) -> list[str]:
        """Every prompt with values of our own, in the order of the links."""
        texts = self._evidence(SAMPLE) | {each.name: "a red circle" for each in self._ordered}
        values = {name: self._quoted(text or "any") for name, text in texts.items()}
        parts = (each.parts(set(values)) for each in self._ordered)
        return [self._text(each, values) for each in parts if each is not None]

    def _evidence(self, context: CaptionContext) -> dict[str, str]:
        tags = sorted(filter(_sure, context.tags), key=lambda tag: -(tag.confidence or 0.0))
        names = [tag.name.replace("_", " ") for tag in tags[:_MOST]]
        seen = " ".join(line.text for line in filter(_sure, context.ocr))
        language = context.language if "language" in self._quotes else None
        return {
            "alt_text": cut(context.alt_text, EVIDENCE_CHARS),
            "tags": cut(", ".join(names), EVIDENCE_CHARS),
            "ocr": cut(seen[: 2 * EVIDENCE_CHARS], EVIDENCE_CHARS),
            "language": _language(language) if language else "",
        }

    def _planned(self, known: set[str]) -> list[Prompt]:
        """The prompt of each candidate: all in turn, without those that lack a value."""
        usable: list[Prompt] = []
        for prompt in self._ordered:
            if prompt.needs <= known:
                usable.append(prompt)
                known.add(prompt.name)
        own = [prompt for prompt in usable for _ in range(prompt.candidates or 0)]
        shared = [prompt for prompt in usable if prompt.candidates is None]
        turns = range(self._candidates if shared else 0)
        return own + [shared[number % len(shared)] for number in turns]

    def _text(self, parts: Sequence[str], values: Mapping[str, str]) -> str:
        text = " ".join(filled(part, values) for part in parts)
        # A value may form a special token together with the template's signs around it. A template
        # that has special tokens of its own is left as its author wrote it.
        own = filled(" ".join(parts), dict.fromkeys(values, " "))
        return self._neutral(text) if self._neutral(own) == own else text

    def _quoted(self, text: str) -> str:
        """A text for a quotation, which its double quotes would end: they become single."""
        return self._neutral(" ".join(cut(text, ANSWER_CHARS).replace('"', "'").split()))


def _links(prompts: Sequence[Prompt]) -> list[list[Prompt]]:
    names = {prompt.name for prompt in prompts}
    order = TopologicalSorter({prompt.name: prompt.quotes & names for prompt in prompts})
    order.prepare()
    links = []
    while order.is_active():
        ready = set(order.get_ready())
        links.append([prompt for prompt in prompts if prompt.name in ready])
        order.done(*ready)
    return links


def _sure(found: Tag | OcrText) -> bool:
    return found.confidence is None or found.confidence >= _CONFIDENT


def _texts(prompt: Prompt, answers: Sequence[Caption]) -> list[Caption]:
    return [each for each in answers if each.prompt_id == prompt.id and each.text.strip()]


def _language(tag: str) -> str:
    """The English name of a language, such as ``German``; the tag where it has none."""
    from lingua import IsoCode639_1, Language

    primary = tag.split("-")[0]
    code = getattr(IsoCode639_1, primary.upper(), None)
    return Language.from_iso_code_639_1(code).name.title() if code else primary
