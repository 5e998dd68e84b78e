"""The contact sheet of a run: images with their alt text and the caption that was kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from kaption.schemas import CleanPair
from kaption.workers.demo.truth import Noise, Terminal, Truth, agrees

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

_COLUMNS = 3
_IMAGE = 168
"""Side of the square that an image fits into, in pixels."""
_TEXT = 330
_PAD = 14
_LINES = 4
_CHARS = 500
_FONT = 15
_PAPER, _INK, _FAINT = (250, 250, 248), (28, 28, 30), (125, 125, 130)
_TRUE, _UNTRUE = (16, 110, 56), (176, 32, 32)


def choose(
    truths: Sequence[Truth], outcomes: dict[str, Terminal], count: int = 24
) -> list[tuple[Truth, CleanPair]]:
    """At most `count` kept pairs. Kinds take turns, so that every kind of noise is shown."""
    by_kind: dict[Noise, list[tuple[Truth, CleanPair]]] = {}
    for truth in truths:
        outcome = outcomes.get(truth.pair_id)
        if isinstance(outcome, CleanPair):
            by_kind.setdefault(truth.kind, []).append((truth, outcome))
    turns = zip_longest(*by_kind.values())
    chosen = [pair for turn in turns for pair in turn if pair is not None][:count]
    return sorted(chosen, key=lambda pair: list(Noise).index(pair[0].kind))


def contact_sheet(pairs: Sequence[tuple[Image, Truth, CleanPair]]) -> Image:
    """The sheet in three columns: stored images, their texts in green if true, else in red."""
    from PIL import Image, ImageDraw, ImageFont

    lines = -(-max(1, len(pairs)) // _COLUMNS)
    cell = _IMAGE + _TEXT + 3 * _PAD, _IMAGE + 2 * _PAD
    sheet = Image.new("RGB", (_COLUMNS * cell[0], lines * cell[1]), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for at, (stored, truth, pair) in enumerate(pairs):
        left, top = at % _COLUMNS * cell[0] + _PAD, at // _COLUMNS * cell[1] + _PAD
        image = stored.convert("RGB")
        image.thumbnail((_IMAGE, _IMAGE))
        sheet.paste(image, (left, top))
        _write(draw, font, truth, pair, (left + _IMAGE + _PAD, top))
    return sheet


def _write(
    draw: ImageDraw,
    font: FreeTypeFont | ImageFont,
    truth: Truth,
    pair: CleanPair,
    corner: tuple[int, int],
) -> None:
    (x, y), best = corner, pair.captions[0]
    draw.text((x, y), truth.kind.value, _INK, font)
    y += _FONT + 8
    for label, text in (
        (f"before{_score(pair.original_score)}", truth.alt_text),
        (f"after{_score(best.score)}, {best.kind.value}", best.text),
    ):
        draw.text((x, y), label, _FAINT, font)
        y += _FONT + 2
        for line in _wrapped(draw, font, text):
            draw.text((x, y), line, _TRUE if agrees(text, truth.scene) else _UNTRUE, font)
            y += _FONT + 2
        y += 4


def _score(score: float | None) -> str:
    return "" if score is None else f" {score:.3f}"


def _wrapped(draw: ImageDraw, font: FreeTypeFont | ImageFont, text: str) -> list[str]:
    """At most three lines that fit. Characters that cannot be printed are shown as their code."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text[:_CHARS])
    lines, line = [], ""
    for character in shown or "(empty)":
        if draw.textlength(line + character, font) > _TEXT:
            head, _, tail = line.rpartition(" ")
            lines.append(head or line)
            line = tail if head else ""
        line += character
    lines.append(line)
    return lines if len(lines) < _LINES else [*lines[: _LINES - 2], lines[_LINES - 2][:-2] + " ..."]
