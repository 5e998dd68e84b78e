"""Captions from evidence in the record: detected objects, tags, and text seen in the image.

Captions use only words that a detector, a tagger, OCR or the page gave. English connecting words
are added where the record is English or has no language; in other languages a caption is a plain
list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kaption.schemas import Caption, CaptionKind
from kaption.workers.captioners._nouns import counted, distinct, in_case, with_article
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.text.boilerplate import strip_boilerplate
from kaption.workers.text.clauses import cut
from kaption.workers.text.lines import in_reading_order, joined

_REVISION = "3"
"""Raise it when a template changes."""
_CONFIDENT = 0.5
"""Evidence with less confidence is left out; evidence without a confidence is used."""
_MOST = 8
"""At most so many objects, tags or lines of text are in one caption."""
_OCR_CHARS = 120


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
    counts = Counter(
        _plain(*thing.attributes, in_case(thing.label) if english else thing.label)
        for thing in found
    )
    items = [(name, count) for name, count in counts.items() if name][:_MOST]
    if not english:
        return ", ".join(name for name, _ in items)
    return _listed([counted(name, count) for name, count in items])


def _tags(context: CaptionContext, english: bool) -> str:
    tags = [tag for tag in context.tags if _sure(tag.confidence)]
    tags.sort(key=lambda tag: -(tag.confidence or 0.0))
    # Taggers call images "stock photo" too.
    names = list(dict.fromkeys(n for tag in tags if (n := strip_boilerplate(_plain(tag.name)))))
    if not english:
        return ", ".join(names[:_MOST])
    return _listed([with_article(name) for name in distinct(names)[:_MOST]])


def _plain(*words: str) -> str:
    return " ".join(" ".join(words).replace("_", " ").split())


def _seen_text(context: CaptionContext) -> str:
    lines = in_reading_order([line for line in context.ocr if _sure(line.confidence)])
    texts = [line.text for line in lines if line.text.strip()]
    return cut(joined(texts[:_MOST]), _OCR_CHARS)


def _with_text(description: str, seen: str, english: bool) -> str:
    quoted = f'"{seen}"'
    if not description:
        return f"the text {quoted}" if english else quoted
    return f"{description}, with the text {quoted}" if english else f"{description}, {quoted}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _sure(confidence: float | None) -> bool:
    return confidence is None or confidence >= _CONFIDENT


build = RulesCaptioner
