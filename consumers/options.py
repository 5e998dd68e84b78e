"""How streams read: the options of `ShardStream` and `TopicStream`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kaption.consumers.stream import Never, Stop

OnDamage = Callable[[str, str], None]
"""Called once for each damaged object, with its key and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Options that both streams have."""

    follow: bool = False
    """Wait for new pairs instead of ending with the last one that is there at the beginning."""
    stop: Stop = Never()  # noqa: RUF009  # it has no state
    """Ends the stream when it is set. DataLoader workers need a `multiprocessing.Event`."""
    rank: int | None = None
    """Number of this process in the training group. None: as torch.distributed says."""
    world_size: int | None = None
    """Number of processes in the group; given together with `rank`."""
    idle_error: bool = False
    """Raise ValueError in a reader that has nothing to read, instead of logging a warning."""
    takedown_s: float = 60.0
    """Seconds between two looks at the takedowns."""


@dataclass(frozen=True, kw_only=True)
class ShardOptions(StreamOptions):
    """How `ShardStream` reads."""

    shuffle: bool = True
    """Shuffle shards and samples. Otherwise samples come by partition and offset."""
    buffer: int = 1000
    """Samples held in memory, among which the next one is drawn. Without effect if not shuffled."""
    latest: bool = True
    """Give only the latest version of each pair."""
    pin: str | None = None
    """Read the version of the dataset that `kaption pins add` gave this name. Not with `follow`."""
    poll_s: float = 10.0
    """With `follow`, seconds between two looks for new shards."""
    on_damage: OnDamage | None = None
    """Called in the process that read the damaged object."""

    def __post_init__(self) -> None:
        """Raise ValueError where a version is to grow."""
        if self.pin is not None and self.follow:
            raise ValueError(
                f"pin={self.pin!r} names a version that does not change, so follow=True would wait "
                "for ever: leave out one of them"
            )


@dataclass(frozen=True, kw_only=True)
class TopicOptions(StreamOptions):
    """How `TopicStream` reads."""

    window: int = 200
    """With `follow`, how many offsets a message is held back for a later one to replace it."""
    fetchers: int = 8
    """Threads that fetch images."""
    ahead: int = 64
    """Images fetched ahead of the training loop."""
    timeout_s: float = 30.0
    """Seconds without an answer from Kafka after which the stream raises ReadError."""
