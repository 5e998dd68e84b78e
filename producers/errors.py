"""What can go wrong in a source and when publishing: one class for each thing to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kaption.connections.kafka.messages import Message


class SourceError(Exception):
    """The source cannot be read; the message says what is wrong and what to do."""


class PublishError(Exception):
    """Kafka could not be used; the message says what to look at."""


class TooLargeError(PublishError, ValueError):
    """The image or the message is above its limit: give its URL, or give the Publisher a store."""


class BufferFullError(PublishError):
    """The broker took records more slowly than they came, for longer than `max_block_s`."""


class ClosedError(PublishError):
    """The publisher was closed: make another one."""


class ForkedError(PublishError):
    """The publisher was made before this process was forked: make another one after the fork."""


class SpoolError(PublishError):
    """The spool's disk is full, or its folder is in use or damaged. Accepted records are kept."""


class StillSpooledError(PublishError):
    """Records wait in the spool. This Publisher or the next one sends them when it can."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that Kafka did not acknowledge, and the reason.

    After a time-out Kafka may have stored it all the same. Publishing it again is safe: ingest
    drops a second record with the same pair_id.
    """

    message: Message
    error: Exception


class DeliveryError(PublishError):
    """The messages in `failures` were not acknowledged. Each failure is reported once."""

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
