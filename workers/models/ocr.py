"""Reads text in images with RapidOCR: PP-OCRv6 on the CPU, from models inside its package."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kaption.connections.errors import Fatal
from kaption.schemas import OcrText
from kaption.schemas.evidence import Box
from kaption.schemas.limits import LIST_ITEMS, TEXT_CHARS

if TYPE_CHECKING:
    from PIL import Image

_SIDE = 320
"""Images are enlarged until the shorter side has so many pixels, to find small letters. RapidOCR's
own 736 takes three times as long and reads no more of the cards of bench/ocr.py."""


class RapidOcr:
    """The detector, the classifier of turned lines and the recogniser that ship with `rapidocr`.

    It reads Latin, Chinese, Japanese and Greek letters. Any thread may call `read`.
    """

    model = "rapidocr/PP-OCRv6-small"

    def __init__(self) -> None:
        """Raises Fatal where the package is missing or its models are."""
        try:
            import rapidocr
        except ImportError as error:
            raise Fatal(
                f"text in images needs rapidocr and onnxruntime: install kaption[ocr] ({error})"
            ) from error
        models = sorted((Path(rapidocr.__file__).parent / "models").glob("*.onnx"))
        digest = sha256(b"".join(sha256(each.read_bytes()).digest() for each in models))
        self.revision = f"{version('rapidocr')}-{digest.hexdigest()[:12]}-{_SIDE}"
        self._engine: Any = rapidocr.RapidOCR(
            params={
                "Global.log_level": "critical",
                "Det.limit_side_len": _SIDE,
                # Each thread of the preparation pool reads an image of its own.
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            }
        )

    def read(self, image: Image.Image) -> tuple[OcrText, ...]:
        """The lines of text in an RGB image, with confidence, box and source.

        Raises what the engine raises.
        """
        found = self._engine(image)
        if not found:
            return ()
        lines = zip(found.txts, found.scores, found.boxes.tolist(), strict=True)
        return tuple(
            OcrText(
                text=text[:TEXT_CHARS],
                confidence=min(1.0, max(0.0, float(score))),
                box=_box(corners, image.size),
                source=self.model,
            )
            for text, score, corners in list(lines)[:LIST_ITEMS]
        )


def _box(corners: list[list[float]], size: tuple[int, int]) -> Box:
    xs, ys = ([min(1.0, max(0.0, each[at] / size[at])) for each in corners] for at in (0, 1))
    return Box(left=min(xs), top=min(ys), right=max(xs), bottom=max(ys))
