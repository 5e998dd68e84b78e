"""Text in images, for the stages: read once for each image, by an OCR engine."""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import Counter

from kaption.schemas import OcrText, ScoredPair
from kaption.workers.safety.documents import TextReader
from kaption.workers.stages.images import opened
from kaption.workers.stores.ocr import OcrCache
from kaption.workers.text.lines import in_reading_order

_log = logging.getLogger(__name__)

IMAGES = Counter(
    "kaption_ocr_images_total",
    "Images by what OCR did: read, cached, failed. Failed ones go on without their text. Rising: "
    "look at the warnings in the log.",
    ("result",),
)


class ImageTexts:
    """Gives the text in an image: from the pair, else from the cache, else from the engine."""

    def __init__(self, cache: OcrCache, load: Callable[[], TextReader]) -> None:
        self._cache = cache
        self._load = load

    def setup(self) -> None:
        """Load the engine. Raises Fatal."""
        self._reader = self._load()
        self.models = {self._reader.model: self._reader.revision}

    def of(self, pair: ScoredPair, stored: Callable[[], bytes]) -> tuple[OcrText, ...]:
        """The lines of text in the pair's image, in reading order.

        A pair that came with text is not read again. An engine that fails costs the text alone.
        `stored` gets the image's file. Raises Reject (blob missing), Dead (blob damaged), Retry.
        """
        if pair.ocr:
            return pair.ocr
        blob, revision = pair.image.blob, self._reader.revision
        lines = self._cache.get(blob.sha256, revision)
        if lines is not None:
            IMAGES.labels("cached").inc()
            return lines
        image = opened(stored(), blob)
        try:
            lines = in_reading_order(self._reader.read(image))
        except Exception as error:  # noqa: BLE001 - whatever the engine raises, the pair goes on
            IMAGES.labels("failed").inc()
            _log.warning("OCR failed", extra={"sha256": blob.sha256, "why": repr(error)[:500]})
            return ()
        IMAGES.labels("read").inc()
        self._cache.put(blob.sha256, revision, lines)
        return lines
