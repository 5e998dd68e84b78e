"""Scores how likely an image shows an identity document, a driving licence or a CV.

The score is that of the text in the image and of its layout. An OCR model reads the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kaption.schemas import OcrText, Reason
from kaption.workers.decode.decoded import Decoded
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.document_words import CV_HEADINGS, CV_TITLES, LABELS, TITLES, folded
from kaption.workers.safety.machine_lines import has_machine_lines
from kaption.workers.safety.policy import DocumentPolicy

if TYPE_CHECKING:
    from PIL import Image

_TITLE_ROOM = 28
"""Letters of a line beside the title of a document: names of states, the title in two languages.
A sentence about passports has more."""
_CODE = re.compile(r"(?:^|\s)(1|2|3|4[abcd]|5|8|9|12|15|16)\s?[.,:]?(?=\s|[A-Z0-9])")
"""Numbers of the fields of a driving licence (ISO/IEC 18013-1)."""
_DATE = re.compile(
    r"(?<!\d)(?:\d{1,2}[./\- ]{1,2}\d{1,2}[./\- ]{1,2}(?:19|20)\d\d|(?:19|20)\d\d[./\- ]"
    r"\d{1,2}[./\- ]\d{1,2}|\d{2}(?:0\d|1[0-2])(?:19|20)\d\d|\d{1,4}年\d{1,2}月\d{1,2}日)(?!\d)"
)
_SPAN = re.compile(r"(?:19|20)\d\d(?:\s*[-\u2013\u2014~](?!\d\d?[-./]\d)|\s+(?:to|bis|until)\s)")
"""A span of years: from one year to another, or to now."""
_ROW = 0.7
"""Part of a line's height by which the middles of two lines of one row differ at most."""


class TextReader(Protocol):
    """An OCR engine. Any thread may call it."""

    model: str
    revision: str

    def read(self, image: Image.Image) -> tuple[OcrText, ...]:
        """The lines of text in an RGB image. May raise anything."""


class DocumentScore(NamedTuple):
    """How likely the image shows a document: points out of ten, as a number from 0 to 1.

    A title counts three, each filled field or heading one up to five, and two dates or spans of
    years two. Lines that machines read, with right check digits, count ten.
    """

    identity: float
    cv: float


def document_score(lines: Sequence[OcrText]) -> DocumentScore:
    """How much the lines of an image say that it is such a document."""
    texts = [part for line in lines for part in line.text.splitlines()]
    if has_machine_lines(texts):
        return DocumentScore(1.0, 0.0)
    plain = [folded(text) for text in texts]
    return DocumentScore(_identity(lines, texts, plain), _cv(texts, plain))


class DocumentCheck:
    """Refuses documents by lines that were read in their image. Any thread may call it."""

    def __init__(self, most: float | None) -> None:
        """`most` is the score above which an image is refused; None refuses none."""
        self._most = most

    def refuse(self, lines: Iterable[OcrText]) -> None:
        """Raises Reject (identity_document, cv) above the limit."""
        if self._most is None:
            return
        score = document_score(tuple(lines))
        if max(score) > self._most:
            reason = Reason.CV if score.cv > score.identity else Reason.IDENTITY_DOCUMENT
            raise Reject(reason, f"{max(score):.1f} > most {self._most:g}")


NO_DOCUMENTS = DocumentCheck(None)


class Documents:
    """Reads the text of images, and scores it."""

    def __init__(self, policy: DocumentPolicy, reader: Callable[[], TextReader]) -> None:
        self._check = DocumentCheck(policy.most)
        self._load = reader

    def setup(self) -> None:
        """Load the OCR model. Raises Fatal where its package is missing."""
        self._reader = self._load()

    def seen(self, data: bytes, decoded: Decoded) -> Decoded:
        """The image with its score. Raises Reject (identity_document, cv)."""
        from PIL import Image

        with Image.open(BytesIO(decoded.jpeg)) as stored:
            lines = self._reader.read(stored.convert("RGB"))
        self._check.refuse(lines)
        return replace(decoded, document=max(document_score(lines)))


def _identity(lines: Sequence[OcrText], texts: Sequence[str], plain: Sequence[str]) -> float:
    titled = any(
        len(text) <= len(title) + _TITLE_ROOM and title in text
        for text in plain
        for title in TITLES
        if len(title) > 3
    )
    fields = {kind for at in range(len(lines)) for kind in _filled(lines, at)}
    codes = {code for text in texts for code in _CODE.findall(text)}
    held = max(len(fields), len(codes) if len(codes) > 3 else 0)
    dates = {date for text in texts for date in _DATE.findall(text)}
    if not dates:
        return 0.0  # a poster about documents, or an empty form
    return _points(titled, held, len(dates))


def _cv(texts: Sequence[str], plain: Sequence[str]) -> float:
    titled = any(text in CV_TITLES for text in plain)
    held = {kind for text in plain for kind, words in CV_HEADINGS.items() if text in words}
    spans = sum(len(_SPAN.findall(text)) for text in texts)
    return _points(titled, len(held), spans) if spans and held else 0.0


def _points(titled: bool, held: int, dates: int) -> float:
    return (3 * titled + min(held, 5) + 2 * (dates > 1)) / 10


def _filled(lines: Sequence[OcrText], at: int) -> set[str]:
    """The fields that the labels of a line name, where a value stands behind or below them."""
    line = lines[at]
    kinds, rest = _labels(line.text)
    if not kinds:
        return set()
    if rest:
        return kinds
    values = [other for other in lines if other is not line and _is_value_of(other, line)]
    return kinds if any(not _labels(each.text)[0] for each in values) else set()


def _labels(text: str) -> tuple[set[str], bool]:
    """The fields named by the labels at the beginning of a line, and whether more follows.

    A label may be in two languages, with a slash between them, and have a number before it.
    """
    kinds: set[str] = set()
    words = re.split(r"[\s/:|]+", re.sub(r"^\s*(?:\d{1,2}[a-d]?[.,]?\s+)", "", text.strip()))
    while words:
        for length in range(min(6, len(words)), 0, -1):
            head = folded("".join(words[:length]))
            found = {kind for kind, labels in LABELS.items() if head in labels}
            if found:
                kinds |= found
                words = words[length:]
                break
        else:
            if kinds or folded(words[0]):
                break
            words = words[1:]
    return kinds, bool(words)


def _is_value_of(value: OcrText, label: OcrText) -> bool:
    """Whether a line stands in the row of a label to its right, or close below it."""
    if value.box is None or label.box is None:
        return True
    a, b = label.box, value.box
    height = max(a.bottom - a.top, b.bottom - b.top)
    beside = abs((a.top + a.bottom) - (b.top + b.bottom)) / 2 < _ROW * height and b.left > a.left
    below = -_ROW * height < b.top - a.bottom < height and abs(a.left - b.left) < 2 * height
    return beside or below
