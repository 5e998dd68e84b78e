"""Child processes that decode what the parent must not open itself."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from workers.images.decoded import Decoded
from workers.policy import ImagePolicy


class DecodePool:
    """A fixed number of decoding processes, each replaced when it crashes or hangs.

    Thread-safe: `decode` blocks while all are busy.
    """

    def __init__(self, policy: ImagePolicy, processes: int | None = None) -> None:
        self._policy = policy

    def decode(self, data: bytes) -> Decoded:
        """Decode one picture (see `workers.images.decode.decode`).

        Raises Reject: what `decode` raises, decode_timeout past the deadline, decode_failed when
        the process died or exceeded its memory. Raises Fatal when no child can be started.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End the children, after the pictures they have in hand."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
