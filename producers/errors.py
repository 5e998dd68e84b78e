"""What can go wrong when publishing, by what the caller can do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaption.connections.kafka.messages import Message


class PublishError(Exception):
    """Kafka could not be used; the message says what to look at."""


class TooLargeError(PublishError, ValueError):
    """The image or the message is above its limit: store the image as a blob, or give its URL."""


class BufferFullError(PublishError):
    """Records come faster than the broker takes them, for longer than may be waited."""


class ClosedError(PublishError):
    """The publisher was closed: make another one."""


class ForkedError(PublishError):
    """The publisher was made before this process was forked: make another one after the fork."""


class SpoolError(PublishError):
    """The spool cannot be used: disk full, folder in use or damaged. What it accepted is kept."""


class StillSpooledError(PublishError):
    """Records wait in the spool; they are sent when the broker is back, also by a later process."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was not acknowledged, and why.

    After a time-out it may have been written all the same; published again, it is then found to be
    a duplicate.
    """

    message: Message
    error: Exception


class DeliveryError(PublishError):
    """Messages were not acknowledged. Each is reported once; the others were delivered."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        shown = "; ".join(
            f"{(failure.message.key or b'no key').decode(errors='replace')[:80]}: {failure.error}"
            for failure in failures[:3]
        )
        more = f" (+{len(failures) - 3} more)" if len(failures) > 3 else ""
        super().__init__(
            f"{len(failures)} records were not delivered: {shown}{more}; "
            "publish them again from `failures`"
        )
        self.failures = tuple(failures)
