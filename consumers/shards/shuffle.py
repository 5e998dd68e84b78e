"""Samples in a shuffled order, as far as they fit."""

from __future__ import annotations

from collections.abc import Iterable

from kaption.consumers.draw import draw
from kaption.consumers.stream import Sample

Place = tuple[int, int]
"""Partition and offset of pairs.clean: what a sample is remembered by."""


class ShuffleBuffer:
    """Holds samples and draws among them; what is drawn depends on seed, names and count alone."""

    def __init__(self, seed: int, names: tuple[int, ...], drawn: int = 0) -> None:
        self._seed = seed
        self._names = names
        self.drawn = drawn
        self._places: list[Place] = []
        self._samples: list[Sample] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, place: Place, sample: Sample) -> None:
        """Hold one more."""
        self._places.append(place)
        self._samples.append(sample)

    def draw(self) -> Sample:
        """Take one of those held. Raises IndexError where there is none."""
        number = int(draw(self._seed, "buffer", *self._names, self.drawn) * len(self))
        self.drawn += 1
        places, samples = self._places, self._samples
        places[number], places[-1] = places[-1], places[number]
        samples[number], samples[-1] = samples[-1], samples[number]
        places.pop()
        return samples.pop()

    def places(self) -> list[Place]:
        """Where the samples held are from, in their order."""
        return list(self._places)

    def restore(self, places: Iterable[Place], found: dict[Place, Sample]) -> None:
        """Hold what was held before, in its order; what is no longer found is left out."""
        for place in places:
            if place in found:
                self.add(place, found[place])
