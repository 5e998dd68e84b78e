"""Shuffling a stream by drawing from a buffer."""

from __future__ import annotations

from collections.abc import Iterable

from kaption.consumers.stream import Sample, draw

Place = tuple[int, int]
"""Partition and offset of a sample in pairs.clean, by which a state remembers it."""


class ShuffleBuffer:
    """Holds samples and draws one of them at random.

    Which one depends only on `seed`, `names`, the number drawn before, and what is held.
    """

    def __init__(self, seed: int, names: tuple[int, ...], drawn: int = 0) -> None:
        self._seed = seed
        self._names = names
        self.drawn = drawn
        self._places: list[Place] = []
        self._samples: list[Sample] = []

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, place: Place, sample: Sample) -> None:
        """Hold one more sample."""
        self._places.append(place)
        self._samples.append(sample)

    def draw(self) -> Sample:
        """Remove and return one sample. Raises IndexError where none is held."""
        number = int(draw(self._seed, "buffer", *self._names, self.drawn) * len(self))
        self.drawn += 1
        places, samples = self._places, self._samples
        places[number], places[-1] = places[-1], places[number]
        samples[number], samples[-1] = samples[-1], samples[number]
        places.pop()
        return samples.pop()

    def places(self) -> list[Place]:
        """Return where the samples held come from, in their order."""
        return list(self._places)

    def restore(self, places: Iterable[Place], found: dict[Place, Sample]) -> None:
        """Hold the samples that a state remembers, in their order, without those not found."""
        for place in places:
            if place in found:
                self.add(place, found[place])
