"""Samples as a stream gives them: clean pairs and their images."""

import random
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from kaption.consumers.stream import Sample
from kaption.schemas import Caption, CleanPair
from kaption.testing import records
from kaption.testing.records import blob_ref, image_ref


def clean_pair(number: int, *captions: Caption | str, **changed: Any) -> CleanPair:
    """A pair with these captions; bare texts are a captioner's."""
    blob = blob_ref(number, media_type="image/png")
    image = image_ref(blob, width=40, height=20, original_width=40, original_height=20)
    return records.clean_pair(number, *captions, **{"image": image} | changed)


def png(image: Image.Image) -> bytes:
    """Encode an image without loss."""
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def gradient(width: int = 40, height: int = 20) -> Image.Image:
    """Make a grey image that grows lighter from left (0) to right (250)."""
    row = bytes(250 * x // (width - 1) for x in range(width))
    return Image.frombytes("L", (width, height), row * height).convert("RGB")


def sample(number: int, *captions: Caption | str, **changed: Any) -> Sample:
    """Make a sample with an image."""
    return Sample(clean_pair(number, *captions, **changed), png(gradient()))


class ListedStream:
    """Samples of several lists, each in order, alternating at random as partitions do.

    The state is how many of each list were given.
    """

    def __init__(self, *lists: Sequence[Sample], chance: int = 0) -> None:
        self._lists = lists
        self._chance = random.Random(chance)
        self._given = [0] * len(lists)
        self._loaded = False

    def __iter__(self) -> Iterator[Sample]:
        if not self._loaded:
            self._given = [0] * len(self._lists)
        self._loaded = False
        return self._rest()

    def state_dict(self) -> dict[str, Any]:
        return {"given": list(self._given)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._given, self._loaded = list(state["given"]), True

    def _rest(self) -> Iterator[Sample]:
        given = self._given
        while left := [at for at, each in enumerate(self._lists) if given[at] < len(each)]:
            chosen = self._chance.choice(left)
            given[chosen] += 1
            yield self._lists[chosen][given[chosen] - 1]
