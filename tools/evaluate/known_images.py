"""Known images: the recall of a list of PDQ hashes on altered copies, and false finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pdqhash
from PIL import Image, ImageEnhance, ImageOps

from kaption.workers.decode.decode import decode
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.block_list import BlockLists
from kaption.workers.safety.policy import BlockListPolicy
from tools.evaluate.faces import on_white
from tools.evaluate.figures import Figure, share
from tools.evaluate.real_images import real_images

_EVERY = 3
"""Of so many photographs one is listed; the others are the harmless ones."""


def _cropped(image: Image.Image, part: float) -> Image.Image:
    """Without this part of each side, all round."""
    across, down = round(image.width * part), round(image.height * part)
    return image.crop((across, down, image.width - across, image.height - down))


CHANGES: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "stored anew": lambda image: image,
    "half as large": lambda image: image.resize((image.width // 2, image.height // 2)),
    "mirrored": ImageOps.mirror,
    "turned by 90 degrees": lambda image: image.rotate(90, expand=True),
    "brighter by 15 %": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "2 % cropped all round": lambda image: _cropped(image, 0.02),
    "10 % cropped all round": lambda image: _cropped(image, 0.1),
    "turned by 10 degrees": lambda image: image.rotate(10, fillcolor="white"),
}
"""What becomes of a copy before it is stored as JPEG of quality 60."""


def measure() -> list[Figure]:
    """The share of copies that ingest would refuse, for each change, and of other photographs."""
    photographs = (on_white(Image.open(it.file)) for it in real_images() if it.photograph)
    shown = [image for image in photographs if _taken(image)]
    listed = shown[::_EVERY]
    others = [image for at, image in enumerate(shown) if at % _EVERY]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "known.txt"
        file.write_text("".join(f"{_pdq(image)}\n" for image in listed), "utf-8")
        lists = BlockLists(BlockListPolicy(perceptual=(str(file),)))
        lists.setup()
        figures = [
            share(f"{name}: refused", [_refused(lists, change(image)) for image in listed])
            for name, change in CHANGES.items()
        ]
        false = [_refused(lists, image) for image in others]
        return [*figures, share("other photographs: refused", false)]


def _pdq(image: Image.Image) -> str:
    bits, _ = pdqhash.compute(np.asarray(image))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex()


def _file(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "JPEG", quality=60)
    return file.getvalue()


def _taken(image: Image.Image) -> bool:
    try:
        decode(_file(image), ImagePolicy())
    except Reject:
        return False
    return True


def _refused(lists: BlockLists, image: Image.Image) -> bool:
    file = _file(image)
    decoded = decode(file, ImagePolicy(min_side=1, max_ratio=100))
    try:
        lists.seen(file, decoded)
    except Reject:
        return True
    return False
