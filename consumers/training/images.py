"""Images as the model sees them, changed only in ways that keep their text true."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kaption.consumers.stream import draw
from kaption.consumers.training.wording import covered, says_colour, says_one_way, says_side
from kaption.schemas import CleanPair
from kaption.schemas.letterbox import Letterbox

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Random changes of an image, by `seed`, epoch, pair_id and the text alone.

    An image is mirrored with probability `flip`, unless its text names left or right, letters,
    dials, maps or flags, or text was recognised in the image. It is cropped to a random window of
    its own ratio with at least `least_area` of its area. Brightness, contrast and saturation each
    change by a factor from 1 - `jitter` to 1 + `jitter`, unless the text names a colour. The hue
    never changes. A text in a language without a word list (`consumers/training/wording.toml`) is
    treated as if it named all of these.
    """

    seed: int = 0
    flip: float = 0.5
    least_area: float = 0.9
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.flip <= 1 and 0 < self.least_area <= 1 and 0 <= self.jitter < 1):
            raise ValueError(
                "flip is a probability, least_area a share above 0, jitter a share below 1;"
                f" got {self}"
            )

    def mirrors(self, pair: CleanPair, text: str, language: str | None, epoch: int) -> bool:
        """Return whether this epoch shows the mirror image."""
        if draw(self.seed, "flip", epoch, pair.pair_id) >= self.flip or pair.ocr:
            return False
        return covered(text, language) and not (says_side(text) or says_one_way(text))

    def window(self, pair: CleanPair, size: tuple[int, int], epoch: int) -> tuple[int, ...]:
        """Return this epoch's crop of a (width, height) image: left, upper, right, lower pixel."""
        shrunk = 1 - (1 - self.least_area) * draw(self.seed, "area", epoch, pair.pair_id)
        # Rounded up, so that the window never has less than least_area.
        width, height = (math.ceil(side * math.sqrt(shrunk)) for side in size)
        left = int((size[0] - width + 1) * draw(self.seed, "left", epoch, pair.pair_id))
        upper = int((size[1] - height + 1) * draw(self.seed, "upper", epoch, pair.pair_id))
        return left, upper, left + width, upper + height

    def jittered(
        self, image: Image.Image, pair: CleanPair, text: str, language: str | None, epoch: int
    ) -> Image.Image:
        """Return the image with this epoch's brightness, contrast and saturation."""
        from PIL import ImageEnhance

        if not self.jitter or not covered(text, language) or says_colour(text):
            return image
        for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            chance = draw(self.seed, kind.__name__, epoch, pair.pair_id)
            image = kind(image).enhance(1 + self.jitter * (2 * chance - 1))
        return image


@dataclass(frozen=True, slots=True)
class ImageTransform:
    """Makes an image the pixels that the model gets.

    Without augmentation they are the pixels that the scorer with `preprocessing_id` =
    `letterbox.id` gets.
    """

    letterbox: Letterbox
    augmentation: Augmentation | None = None

    def pixels(
        self,
        image: Image.Image,
        pair: CleanPair,
        text: str,
        *,
        language: str | None = None,
        epoch: int = 0,
    ) -> torch.Tensor:
        """Return an RGB image of any size as (3, height, width) uint8.

        `text` is what the model gets with it. `language` is the text's, BCP 47, None if unknown.
        """
        from PIL import Image

        if self.augmentation is None:
            return self.letterbox.pixels(image)
        augmentation = self.augmentation
        left, upper, right, lower = augmentation.window(pair, image.size, epoch)
        fitted = self.letterbox.fitted(image.crop((left, upper, right, lower)))
        if augmentation.mirrors(pair, text, language, epoch):
            fitted = fitted.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return self.letterbox.boxed(augmentation.jittered(fitted, pair, text, language, epoch))
