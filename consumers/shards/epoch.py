"""One epoch of one reader: it plans shards, reads them, and draws samples from a buffer.

An epoch has one round, or with `follow` one round for all the shards that came during the last.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from kaption.consumers.options import ShardOptions
from kaption.consumers.shards.index import ShardIndex
from kaption.consumers.shards.progress import ShardProgress
from kaption.consumers.shards.reader import ShardReader
from kaption.consumers.shards.shuffle import Place, ShuffleBuffer
from kaption.consumers.shards.versions import Replacements
from kaption.consumers.share import Share, tell_idle
from kaption.consumers.stream import Sample, draw
from kaption.objectstore import ObjectStore
from kaption.objectstore.dataset.takedowns import Takedowns

_log = logging.getLogger(__name__)


class ShardEpoch:
    """Gives the samples that `progress` leaves, and updates it with each."""

    def __init__(
        self,
        objects: ObjectStore,
        prefix: str,
        options: ShardOptions,
        seed: int,
        *,
        share: Share,
        progress: ShardProgress,
    ) -> None:
        self._options = options
        self._seed = seed
        self._share = share
        self._progress = progress
        self._prefix = prefix
        self._index = ShardIndex(objects, prefix, options.pin)
        self._reader = ShardReader(
            objects, prefix, self._index, progress.damaged, options.on_damage
        )
        self._objects = objects
        self._takedowns = Takedowns(objects, prefix, every_s=options.takedown_s)
        self._buffer = ShuffleBuffer(seed, (progress.epoch, share.number), progress.drawn)
        self._buffer_size = options.buffer if options.shuffle else 0
        self._begun = False

    def progress(self) -> ShardProgress:
        """Return what is left after the last sample that was given."""
        if self._begun:
            self._progress.drawn = self._buffer.drawn
            self._progress.buffer = self._buffer.places()
        return self._progress

    def samples(self) -> Iterator[Sample]:
        """Give the samples of the present round, then with `follow` of each new one."""
        self._index.refresh(self._progress.generations)
        self._index.check_topics(self._progress.topic_ids)
        self._check_pin()
        held = self._progress.buffer
        self._buffer.restore(held, self._reader.find(held))
        self._begun = True
        if self._progress.plan is None:
            self._plan()
        while True:
            yield from self._round()
            # A stop within the round leaves the rest of its plan for `load_state_dict`.
            if not self._options.follow or self._options.stop.is_set():
                return
            while not self._plan():
                if self._options.stop.wait(self._options.poll_s):
                    return
                self._index.refresh()
                self._index.check_topics(self._progress.topic_ids)

    def _check_pin(self) -> None:
        progress, pin = self._progress, self._options.pin
        if progress.plan is None:
            progress.pin = pin
        elif progress.pin != pin:
            raise ValueError(
                f"the state is of pin={progress.pin!r}, this stream has pin={pin!r}: resume with "
                "the same pin"
            )
        elif pin is not None and (progress.until, progress.generations) != (
            self._index.ends(),
            self._index.generations(),
        ):
            raise ValueError(f"{pin} was pinned anew since the state was saved: begin a new epoch")

    def _plan(self) -> bool:
        """Plan a round of the shards after the last round's. Returns False where there are none."""
        progress = self._progress
        first = progress.plan is None
        shards = self._index.shards(progress.until, self._share, whole=first)
        if first and not shards:
            if self._index.ends():
                tell_idle(self._share, "shards", error=self._options.idle_error)
            else:
                _log.warning(
                    "there are no shards below the prefix %r: look at store and prefix, and whether"
                    " a sink has closed its first shard",
                    self._prefix,
                )
        if self._options.shuffle:
            shards.sort(key=lambda each: draw(self._seed, "shard", progress.epoch, *each))
        progress.since, progress.until = progress.until, progress.until | self._index.ends()
        progress.generations = self._index.generations()
        progress.plan, progress.shard, progress.offset = shards, 0, 0
        return bool(shards)

    def _round(self) -> Iterator[Sample]:
        for place, sample in self._unread():
            self._buffer.add(place, sample)
            if len(self._buffer) > self._buffer_size:
                yield from self._draw()
            if self._options.stop.is_set():
                return
        while len(self._buffer) and not self._options.stop.is_set():
            yield from self._draw()

    def _unread(self) -> Iterator[tuple[Place, Sample]]:
        progress = self._progress
        plan = progress.plan or []
        replaced = Replacements(self._objects, self._reader, self._index, progress.until)
        while progress.shard < len(plan):
            shard = plan[progress.shard]
            for offset, sample in self._reader.samples(shard, progress.offset):
                progress.offset = offset + 1
                if self._options.latest and replaced.hold(shard.partition, offset, sample.pair):
                    progress.skipped["replaced"] += 1
                else:
                    yield (shard.partition, offset), sample
            progress.shard, progress.offset = progress.shard + 1, 0

    def _draw(self) -> Iterator[Sample]:
        sample = self._buffer.draw()
        if self._takedowns.covers(sample.pair):
            self._progress.skipped["taken_down"] += 1
            return
        yield sample
