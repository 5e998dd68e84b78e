"""The numbers of a run's inputs: an input keeps its number in every attempt."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path

_DIGEST_BYTES = 16


class Inputs(ExitStack):
    """Numbers inputs from 1, in the order in which they were first read.

    A later attempt may read another sequence, because an added file may sort before others. So an
    input is known by its content. Its place in the sequence, which would need no file of digests,
    was rejected.
    """

    def __init__(self, path: Path) -> None:
        """`path` holds the digest of each input of earlier attempts, by number. Raises OSError."""
        super().__init__()
        # Unbuffered: a digest is in the file before its input is published.
        self._file = self.enter_context(path.open("ab", buffering=0))
        self._earlier = path.read_bytes()
        self._count = len(self._earlier) // _DIGEST_BYTES
        self._file.truncate(self._count * _DIGEST_BYTES)  # a full disk may have taken half of one
        self._in_order = 0
        self._others: dict[bytes, list[int]] | None = None
        """Numbers of earlier inputs that were not read yet, once the sequence is another one."""

    def number(self, content: bytes) -> int:
        """The number of the next input, which is published as `content`. Raises OSError."""
        digest = blake2b(content, digest_size=_DIGEST_BYTES).digest()
        if self._others is None:
            if self._digest(self._in_order) == digest:
                self._in_order += 1
                return self._in_order
            self._others = defaultdict(list)
            for at in reversed(range(self._in_order, self._count)):
                self._others[self._digest(at)].append(at + 1)
        if same := self._others.get(digest):
            return same.pop()
        self._file.write(digest)
        self._count += 1
        return self._count

    def _digest(self, at: int) -> bytes:
        return self._earlier[at * _DIGEST_BYTES : (at + 1) * _DIGEST_BYTES]
