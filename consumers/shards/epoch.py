"""One pass over the shards of a share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaption.consumers.draw import draw
from kaption.consumers.shards.index import ShardIndex
from kaption.consumers.shards.progress import ShardProgress
from kaption.consumers.shards.reader import OnDamage, ShardReader
from kaption.consumers.shards.shuffle import Place, ShuffleBuffer
from kaption.consumers.shards.versions import replaced
from kaption.consumers.stream import Never, Sample, Share, Stop
from kaption.objectstore.dataset.takedowns import Takedowns
from kaption.objectstore.store import Objects


@dataclass(frozen=True)
class ShardOptions:
    """How shards are read; see `ShardStream`."""

    prefix: str = "dataset"
    follow: bool = False
    stop: Stop = Never()  # noqa: RUF009  # it has no state
    shuffle: bool = True
    buffer: int = 1000
    seed: int = 0
    latest: bool = True
    poll_s: float = 10.0
    takedown_s: float = 60.0
    on_damage: OnDamage | None = None


class ShardEpoch:
    """Gives the samples that `progress` leaves, and keeps it up to date with each."""

    def __init__(
        self, objects: Objects, options: ShardOptions, progress: ShardProgress, share: Share
    ) -> None:
        self._progress = progress
        self._options = options
        self._share = share
        self._index = ShardIndex(objects, options.prefix)
        self._reader = ShardReader(
            objects, options.prefix, self._index, progress.damaged, options.on_damage
        )
        self._takedowns = Takedowns(objects, options.prefix, every_s=options.takedown_s)
        names = (progress.epoch, share.number)
        self._buffer = ShuffleBuffer(options.seed, names, progress.drawn)
        self._begun = False

    def progress(self) -> ShardProgress:
        """What is left after the last sample given."""
        if self._begun:
            self._progress.drawn = self._buffer.drawn
            self._progress.buffer = self._buffer.places()
        return self._progress

    def samples(self) -> Iterator[Sample]:
        """Round after round: one, or with `follow` one for all shards that came meanwhile."""
        self._index.refresh(self._progress.generations)
        held = self._progress.buffer
        self._buffer.restore(held, self._reader.find(held))
        self._begun = True
        if self._progress.plan is None:
            self._plan()
        while True:
            yield from self._round()
            # Stopped within a round, its plan is what is left.
            if not self._options.follow or self._options.stop.is_set():
                return
            while not self._plan():
                if self._options.stop.wait(self._options.poll_s):
                    return
                self._index.refresh()

    def _plan(self) -> bool:
        """Plan what is there beyond the last round; whether any of it is ours."""
        progress, options = self._progress, self._options
        first = progress.plan is None
        shards = self._index.shards(progress.until, self._share, whole=first)
        if options.shuffle:
            shards.sort(key=lambda each: draw(options.seed, "shard", progress.epoch, *each))
        progress.since, progress.until = progress.until, progress.until | self._index.ends()
        progress.generations = self._index.generations()
        progress.plan, progress.shard, progress.offset = shards, 0, 0
        return bool(shards)

    def _round(self) -> Iterator[Sample]:
        for place, sample in self._unread():
            self._buffer.add(place, sample)
            if len(self._buffer) > self._options.buffer:
                yield from self._draw()
            if self._options.stop.is_set():
                return
        while len(self._buffer) and not self._options.stop.is_set():
            yield from self._draw()

    def _unread(self) -> Iterator[tuple[Place, Sample]]:
        progress = self._progress
        plan = progress.plan or []
        old = self._replaced() if progress.shard < len(plan) else set()
        while progress.shard < len(plan):
            shard = plan[progress.shard]
            for offset, sample in self._reader.samples(shard, progress.offset):
                progress.offset = offset + 1
                if (shard.partition, offset) in old:
                    progress.skipped["replaced"] += 1
                else:
                    yield (shard.partition, offset), sample
            progress.shard, progress.offset = progress.shard + 1, 0

    def _replaced(self) -> set[Place]:
        if not self._options.latest:
            return set()
        since, until = self._progress.since, self._progress.until
        return replaced(self._reader, self._index.manifests(since, until), since, until)

    def _draw(self) -> Iterator[Sample]:
        sample = self._buffer.draw()
        if self._takedowns.covers(sample.pair):
            self._progress.skipped["taken_down"] += 1
            return
        yield sample
