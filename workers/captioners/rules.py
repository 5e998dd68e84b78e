"""Captions from evidence in the record: detected objects, tags, and text seen in the image.

Captions use only words that a detector, a tagger, OCR or the page gave. English connecting words
are added where the record is English or has no language; in other languages a caption is a plain
list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.text.clauses import cut

_REVISION = "1"
"""Raise it when a template changes."""
_CONFIDENT = 0.5
"""Evidence with less confidence is left out; evidence without a confidence is used."""
_MOST = 8
"""At most so many objects, tags or lines of text are in one caption."""
_OCR_CHARS = 120
_IRREGULAR = {
    "person": "people",
    "man": "men",
    "woman": "women",
    "child": "children",
    "sheep": "sheep",
    "knife": "knives",
    "mouse": "mice",
}
_NUMBERS = ("", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class RulesCaptioner:
    """Makes up to four captions: of objects, of tags, and of either and of the alt text with the
    text seen in the image.

    The alt text alone is no candidate: select compares it with the candidates in any case.
    """

    name = "rules"
    model = "rules"
    revision = _REVISION
    cache_id: str | None = None  # making an answer is cheaper than looking it up
    uses_images = False
    uses_context = True

    def caption(
        self, images: Sequence[object], contexts: Sequence[CaptionContext]
    ) -> list[tuple[Caption, ...]]:
        """Captions for each context; `images` is not used."""
        return [tuple(self._captions(context)) for context in contexts]

    def _captions(self, context: CaptionContext) -> list[Caption]:
        english = context.language is None or context.language.split("-")[0].lower() == "en"
        objects, tags = _objects(context, english), _tags(context, english)
        seen = _seen_text(context)
        texts = {"rules/objects": objects, "rules/tags": tags}
        if seen:
            told = " ".join(context.alt_text.split()).rstrip(" .,;:")
            texts["rules/objects-ocr"] = _with_text(objects or tags, seen, english)
            texts["rules/alt-ocr"] = (
                "" if seen.lower() in told.lower() else _with_text(told, seen, english)
            )
        return [
            Caption(
                text=text,
                kind=CaptionKind.RULE,
                model=self.model,
                revision=self.revision,
                prompt_id=template,
            )
            for template, text in texts.items()
            if text
        ]


def _objects(context: CaptionContext, english: bool) -> str:
    """Objects with the same label and attributes are counted: ``two dogs and a red car``."""
    found = [thing for thing in context.objects if _sure(thing.confidence)]
    counts = Counter(" ".join([*thing.attributes, thing.label]) for thing in found)
    items = list(counts.items())[:_MOST]
    if not english:
        return ", ".join(name for name, _ in items)
    return _listed([_counted(name, count) for name, count in items])


def _tags(context: CaptionContext, english: bool) -> str:
    tags = [tag for tag in context.tags if _sure(tag.confidence)]
    tags.sort(key=lambda tag: -(tag.confidence or 0.0))
    names = list(dict.fromkeys(tag.name.replace("_", " ").strip() for tag in tags))[:_MOST]
    names = [name for name in names if name]
    return _listed(names) if english else ", ".join(names)


def _seen_text(context: CaptionContext) -> str:
    lines = [" ".join(line.text.split()) for line in context.ocr if _sure(line.confidence)]
    return cut(" ".join(line for line in lines[:_MOST] if line), _OCR_CHARS)


def _with_text(description: str, seen: str, english: bool) -> str:
    quoted = f'"{seen}"'
    if not description:
        return f"the text {quoted}" if english else quoted
    return f"{description}, with the text {quoted}" if english else f"{description}, {quoted}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _counted(name: str, count: int) -> str:
    if count == 1:
        return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"
    number = _NUMBERS[count] if count < len(_NUMBERS) else str(count)
    return f"{number} {_plural(name)}"


def _plural(name: str) -> str:
    head, _, last = name.rpartition(" ")
    if last in _IRREGULAR:
        return f"{head} {_IRREGULAR[last]}".strip()
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def _sure(confidence: float | None) -> bool:
    return confidence is None or confidence >= _CONFIDENT


build = RulesCaptioner
