"""What a stream of samples gives, and what ends, saves and shuffles it."""

from __future__ import annotations

import json
import time
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from kaption.schemas import CleanPair

if TYPE_CHECKING:
    from PIL import Image


class Sample(NamedTuple):
    """One clean pair with its stored image. It can be pickled."""

    pair: CleanPair
    image: bytes
    """As ingest stored it: encoded anew, and no larger than ingest was told to make images."""

    def decode(self) -> Image.Image:
        """Return the image as RGB, in its own ratio. Raises OSError for a damaged image."""
        from PIL import Image

        return Image.open(BytesIO(self.image)).convert("RGB")


@runtime_checkable
class Stateful(Protocol):
    """A stream that can be resumed: `ShardStream`, `TopicStream`, or one of the user's own."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is left after the last sample that was given."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration give what was left."""


class Stop(Protocol):
    """What ends a stream: `threading.Event`, or `multiprocessing.Event` for DataLoader workers."""

    def is_set(self) -> bool:
        """Return whether the stream has to end."""

    def wait(self, timeout: float, /) -> bool:
        """Wait at most `timeout` seconds until the stream has to end; return whether it has to."""


class Never:
    """A `Stop` that is never set. Unlike an event it can be sent to any process."""

    def is_set(self) -> bool:
        """Return False."""
        return False

    def wait(self, timeout: float, /) -> bool:
        """Sleep for `timeout` seconds and return False."""
        time.sleep(timeout)
        return False


def draw(seed: int, *names: str | int) -> float:
    """Return a random number from [0, 1), the same one for the same seed and names.

    The names say what it is drawn for, such as ``"flip"``, an epoch and a pair_id. There is no
    other state, so the order of the samples, the number of DataLoader workers and restarts do not
    change what is drawn.
    """
    text = json.dumps((seed, *names))  # ASCII, and different names never give the same text
    digest = blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)  # 53 bits: what a float holds exactly
