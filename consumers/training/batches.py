"""`TrainingBatches`: the samples of a stream as batches, which can be resumed exactly."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Any

import torch
from torch.utils.data import IterableDataset  # only training imports this module

from kaption.connections.errors import must_be
from kaption.consumers.stream import Sample, Stateful
from kaption.consumers.training.buckets import LengthBuckets
from kaption.consumers.training.examples import (
    Collate,
    DamagedImage,
    Example,
    ExampleMaker,
    TrainingBatch,
    Worded,
)

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Iteration:
    """How far an iteration has come."""

    epoch: int = 0
    pool: int = 0
    """The number of the present pool."""
    samples: dict[str, Any] | None = None
    """The stream's state at the beginning of the present pool; None before the first pool."""
    out: Counter[int] = field(default_factory=Counter)
    """Marks of samples from there on that have been in a batch."""
    again: Counter[int] = field(default_factory=Counter)
    """Marks from `out` whose samples a resumed stream gives once more; they are left out then."""


class TrainingBatches(IterableDataset[TrainingBatch]):
    """Batches of texts of similar length: pass it to a DataLoader with ``batch_size=None``.

    Samples are read in pools of `pool_batches` batches, their images as stored (some ten kilobytes
    each). `LengthBuckets.batches` cuts a pool into batches. Every sample comes exactly once. A
    damaged image is left out, logged, and counted in `damaged`. A batch is smaller than
    `batch_size` only because of that, or in the stream's last pool.

    The stream itself splits its samples between ranks and DataLoader workers.

    **Resuming.** The state is the stream's state at the beginning of the pool, and eight bytes for
    each sample of the pool that was in a batch. After `load_state_dict` the pool is read again
    without those, so exactly the remaining samples come. They come in the same batches if the
    stream gives them in the same order. (A topic stream may not: its partitions alternate at
    random.)
    """

    def __init__(
        self,
        samples: Iterable[Sample],
        make: ExampleMaker,
        *,
        batch_size: int,
        pool_batches: int = 8,
        buckets: LengthBuckets | None = None,
        seed: int = 0,
    ) -> None:
        must_be(samples, Iterable, "samples", "a ShardStream or a TopicStream")
        must_be(make, ExampleMaker, "make", "ExampleMaker(...)")
        must_be(batch_size, int, "batch_size", "a whole number")
        super().__init__()
        self._samples = samples
        self._make = make
        self._buckets = buckets or LengthBuckets.up_to(make.tokens.context_length)
        self._collate = Collate(self._buckets, make.tokens.pad_id)
        self._batch_size = batch_size
        self._pool_size = batch_size * pool_batches
        self._seed = seed
        # Shared memory, so that DataLoader workers that persist see a new epoch.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._place = _Iteration()
        self._loaded = False
        self.damaged = 0
        """Number of damaged images that this process left out."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of iterations that begin from now on, also in a stream that has epochs.

        Texts, changes of images and the order depend on it.
        """
        self._epoch.fill_(epoch)
        if (set_epoch := getattr(self._samples, "set_epoch", None)) is not None:
            set_epoch(epoch)

    def __iter__(self) -> Iterator[TrainingBatch]:
        if not self._loaded:
            self._place = _Iteration(int(self._epoch))
        self._loaded = False
        return self._batches(iter(self._samples))

    def state_dict(self) -> dict[str, Any]:
        """Return what is left, as plain values. Raises TypeError for a stream without a state."""
        place = self._place
        samples = self._stream().state_dict() if place.samples is None else place.samples
        out = sorted(place.out.elements())
        return {"epoch": place.epoch, "pool": place.pool, "samples": samples, "out": out}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration give what was left."""
        self._stream().load_state_dict(state["samples"])
        out = state["out"]
        self._place = _Iteration(
            state["epoch"], state["pool"], state["samples"], Counter(out), Counter(out)
        )
        self._loaded = True

    def _batches(self, samples: Iterator[Sample]) -> Iterator[TrainingBatch]:
        place = self._place
        while pool := self._next_pool(samples, place):
            words = [self._make.worded(sample, place.epoch) for sample in pool]
            old = [self._passed_over(sample, place) for sample in pool]
            plan = self._plan(words, place)
            left = [batch for batch in plan if not any(old[at] for at in batch)]
            if sum(map(len, left)) + sum(old) < len(pool):
                # The resumed stream gave the pool's samples in another order than before: some
                # batches of the plan mix samples that were out with others. Plan the others anew.
                words = [each for each, passed in zip(words, old, strict=True) if not passed]
                words += self._more(samples, place, self._pool_size - len(words))
                left = self._plan(words, place)
            for batch in left:
                chosen = [words[at] for at in batch]
                place.out.update(_mark(each.sample) for each in chosen)
                if examples := self._examples(chosen):
                    yield self._collate(examples)
            place.pool += 1
        self._place = _Iteration(int(self._epoch))

    def _next_pool(self, samples: Iterator[Sample], place: _Iteration) -> list[Sample]:
        if isinstance(self._samples, Stateful):
            place.samples = self._samples.state_dict()
        place.out = +place.again
        return list(islice(samples, self._pool_size))

    def _plan(self, words: Sequence[Worded], place: _Iteration) -> list[list[int]]:
        lengths = [len(each.tokens) for each in words]
        return self._buckets.batches(lengths, self._batch_size, self._seed, place.epoch, place.pool)

    def _more(self, samples: Iterator[Sample], place: _Iteration, count: int) -> Iterator[Worded]:
        new = (sample for sample in samples if not self._passed_over(sample, place))
        return (self._make.worded(sample, place.epoch) for sample in islice(new, count))

    def _passed_over(self, sample: Sample, place: _Iteration) -> bool:
        """Return whether the sample was in a batch before the state was saved; count it off."""
        mark = _mark(sample)
        if place.again[mark]:
            place.again[mark] -= 1
            return True
        return False

    def _examples(self, chosen: Sequence[Worded]) -> list[Example]:
        examples = []
        for each in chosen:
            try:
                examples.append(self._make.example(each))
            except DamagedImage as error:
                self.damaged += 1
                _log.warning("a sample is left out: %s", error)
        return examples

    def _stream(self) -> Stateful:
        if not isinstance(self._samples, Stateful):
            raise TypeError(
                f"{type(self._samples).__name__} has no state_dict and load_state_dict: give a"
                " stream that has both, or use torch's DataLoader, which asks for no state"
            )
        return self._samples


def _mark(sample: Sample) -> int:
    name = f"{sample.pair.version} {sample.pair.pair_id}"
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest())
