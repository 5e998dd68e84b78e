"""What may be changed about how a Publisher waits and what it holds."""

from __future__ import annotations

from dataclasses import dataclass, fields

from kaption.schemas.limits import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherOptions:
    """Bounds and deadlines of a Publisher; the defaults suit a crawler.

    Raises ValueError for what is no number, or below 0.
    """

    buffer_bytes: int = 64 * MIB
    """Most bytes of messages that wait in memory for the broker; not used with a spool."""
    spool_bytes: int = 4096 * MIB
    """Most bytes of messages that wait in the spool; its folder takes up to 32 MiB more."""
    max_block_s: float = 60.0
    """Seconds that `publish` waits for room in the buffer or the spool; 0: it raises at once."""
    connect_timeout_s: float = 30.0
    """Seconds in which a broker must answer and have the topic."""
    delivery_timeout_s: float = 120.0
    """Seconds after which a message without an acknowledgement has failed.

    With a spool it is sent again, and `flush` gives up after so many seconds without an
    acknowledgement."""
    close_timeout_s: float = 15.0
    """Seconds without an acknowledgement after which `close`, also at the end of a `with` block,
    waits no longer. What is not sent is in the DeliveryError that it raises; with a spool it stays
    in the folder."""
    linger_s: float = 0.02
    """Seconds that a message waits for others, to be sent together with them."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            # Scrapy's settings are plain JSON, where a number may have become a string.
            if not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"{field.name} is {value!r}: give a number, 0 or more")
