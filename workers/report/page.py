"""The page of a report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from kaption.schemas.address import is_web
from kaption.workers.report import figures
from kaption.workers.report.gallery import Card
from kaption.workers.report.spent import written
from kaption.workers.report.thumbnails import Thumbnails

_HERE = Path(__file__).parent
_BARS = 12
"""Languages, sources and licences that are told by name."""


@dataclass(frozen=True, slots=True)
class ReportContent:
    """What a report shows."""

    title: str
    at: str
    """When it was made, for people."""
    numbers: Mapping[str, Any]
    """The content of summary.json."""
    cards: Sequence[Card]
    notes: Sequence[str] = ()
    """What the numbers and the pairs are a part of, in sentences."""
    audit: Mapping[str, Any] = field(default_factory=dict)
    """How far the audit is; empty: not known here."""


class ReportPage(NamedTuple):
    """A report, ready to be written."""

    html: str
    absent: str | None
    """What the reader has to know where images are not in the store; the page says it too."""


def render(content: ReportContent, image: Callable[[str], bytes | None], store: str) -> ReportPage:
    """The page. `image` gives the bytes of an image in the `store` by its sha256, or None.

    Raises ModuleNotFoundError where jinja2, matplotlib or pillow is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(_HERE / "templates")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    pages.filters |= {"count": written, "share": _share, "score": _score, "bars": _bars}
    pages.tests["web"] = is_web
    numbers = content.numbers
    drawings = {
        "flow": figures.flow(numbers),
        "scores": figures.histogram(numbers["score_bars"]),
        "thresholds": figures.thresholds(numbers["thresholds"]),
    }
    script = (_HERE / "static" / "report.js").read_text("utf-8")
    shown = {each for card in content.cards for each in (card.blob, card.kept_blob) if each}
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    thumbnails = Thumbnails(image)
    images = thumbnails.of(sorted(shown))
    absent = None
    if thumbnails.absent:
        absent = f"{thumbnails.absent:,} of {len(shown):,} images are not in the store {store}"
        content = replace(content, notes=(*content.notes, f"{absent}."))
    html = pages.get_template("report.html").render(
        content=content,
        numbers=numbers,
        total=numbers["flow"][0]["came"],
        # Drawings are made here, of numbers and words that matplotlib escapes.
        drawings={name: it and Markup(it) for name, it in drawings.items()},  # noqa: S704 - see above
        style=Markup((_HERE / "static" / "report.css").read_text("utf-8")),  # noqa: S704 - a file of ours
        script=Markup(script),  # noqa: S704 - a file of ours
        script_digest=digest,
        images=images,
        copies=[card for card in content.cards if card.copy_of],
        outcomes=sorted({card.outcome for card in content.cards}),
        kinds=sorted({card.kind for card in content.cards if card.kind}),
    )
    return ReportPage(html, absent)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "0 %"


def _score(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _bars(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Name, count and length in percent of the largest; the rest is one bar."""
    rows = sorted(counts.items(), key=lambda each: -each[1])
    rest = sum(count for _, count in rows[_BARS:])
    told = [*rows[:_BARS], *([(f"{len(rows) - _BARS} others", rest)] if rest else [])]
    most = max((count for _, count in told), default=1)
    return [(name, count, 100 * count / most) for name, count in told]
