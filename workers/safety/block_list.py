"""Lists of known images: by the digest of their file, and by how they look (PDQ).

PDQ is the perceptual hash in which lists are exchanged (Meta ThreatExchange, StopNCII): 256 bits.
https://github.com/facebook/ThreatExchange/tree/main/pdq
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from prometheus_client import Counter

from kaption.connections.errors import Fatal
from kaption.schemas import Reason
from kaption.workers.decode.decoded import Decoded
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.image_check import needed
from kaption.workers.safety.policy import BlockListPolicy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
T = TypeVar("T")

UNREADABLE = Counter(
    "kaption_block_list_unreadable_total",
    "Reads of a new version of a block list that failed. The last good one holds. Rising: look at "
    "the warning in the log, and mend the file.",
)
LOOK_S = 2.0
"""Seconds between two looks whether a file was replaced."""
_DIGESTS = {32: "md5", 40: "sha1", 64: "sha256"}
"""Digests by their length in hexadecimal digits. Published lists use all three."""
_PDQ_DIGITS = 64
_LEAST_QUALITY = 50
"""PDQ's quality below which an image has too little structure, as its authors recommend."""
_SIDE = 256
"""Pixels of the longer side at which images are hashed: PDQ looks at 64 x 64 areas of any size."""
_LINE = re.compile(r'\s*"?(?:[A-Za-z][A-Za-z0-9-]*:)?([0-9A-Fa-f]+)"?\s*(?:[\s,;].*)?')


class BrokenListError(Exception):
    """A list that cannot be used; the message names file and line."""


class BlockLists:
    """Refuses known images. Files are read again when they are replaced; any thread may call it."""

    def __init__(
        self, policy: BlockListPolicy, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._exact = [_WatchedFile(Path(each), _digests, clock) for each in policy.exact]
        self._near = [_WatchedFile(Path(each), _pdq, clock) for each in policy.perceptual]

    def setup(self) -> None:
        """Read the lists. Raises Fatal on one that cannot be used, and on a missing package."""
        if self._near:
            needed("pdqhash", "safety.block_lists.perceptual")
        for exact in self._exact:
            exact.load()
        for near in self._near:
            near.load()

    def seen(self, data: bytes, decoded: Decoded) -> Decoded:
        """The same image. Raises Reject (block_listed) for one in a list."""
        made: dict[str, str] = {}
        for exact in self._exact:
            for name in exact.now():
                if name not in made:
                    made[name] = hashlib.new(name, data, usedforsecurity=False).hexdigest()
                if made[name] in exact.now().get(name, ()):
                    raise Reject(Reason.BLOCK_LISTED, f"{name} in {exact.path.name}")
        if self._near and (hashes := _looks(decoded.jpeg)) is not None:
            for near in self._near:
                distance = min(map(near.now().distance, hashes))
                if distance <= self._policy.distance:
                    detail = f"PDQ in {near.path.name} at distance {distance}"
                    raise Reject(Reason.BLOCK_LISTED, detail)
        return decoded


class _WatchedFile(Generic[T]):
    """What was read of a file. A version that cannot be read is told; the last good one stays."""

    def __init__(self, path: Path, read: Callable[[Path], T], clock: Callable[[], float]) -> None:
        self.path = path
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()

    def load(self) -> None:
        """Read it for the first time. Raises Fatal."""
        try:
            self._version = _version(self.path)
            self._content = self._read(self.path)
        except (OSError, BrokenListError) as error:
            raise Fatal(f"safety.block_lists: {_why(self.path, error)}") from error
        self._due = self._clock() + LOOK_S

    def now(self) -> T:
        """What the newest good version holds."""
        if self._clock() >= self._due and self._lock.acquire(blocking=False):
            try:
                self._due = self._clock() + LOOK_S
                self._look()
            finally:
                self._lock.release()
        return self._content

    def _look(self) -> None:
        version: object = None
        try:
            version = _version(self.path)
            if version != self._version:
                self._content = self._read(self.path)
                _log.info("block list replaced", extra={"file": str(self.path)})
        except (OSError, BrokenListError) as error:
            if version != self._version:
                UNREADABLE.inc()
                _log.warning("block list kept as it was", extra={"why": _why(self.path, error)})
        self._version = version


def _version(path: Path) -> object:
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _why(path: Path, error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"{path} cannot be used: {said}"


def _hashes(path: Path) -> Iterator[tuple[int, str]]:
    """Each line's number and hash. It may have a name before and other columns after the hash."""
    found = False
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith(("#", "//")):
                continue
            match = _LINE.fullmatch(line.rstrip())
            if match is None and not found and re.match(r"[\w\" ]+[,;]", line):
                continue  # the names of columns
            if match is None:
                raise BrokenListError(f"line {number} has no hash: {line.strip()[:60]!r}")
            found = True
            yield number, match[1].lower()
    if not found:
        raise BrokenListError("it has no hash: leave the file out of the settings instead")


def _digests(path: Path) -> dict[str, set[str]]:
    """The digests by their kind."""
    found: dict[str, set[str]] = {}
    for number, digits in _hashes(path):
        if len(digits) not in _DIGESTS:
            wanted = ", ".join(f"{n} ({name})" for n, name in _DIGESTS.items())
            raise BrokenListError(f"line {number} has {len(digits)} digits, not {wanted}")
        found.setdefault(_DIGESTS[len(digits)], set()).add(digits)
    return found


def _pdq(path: Path) -> _Index:
    import numpy as np

    raw = bytearray()
    for number, digits in _hashes(path):
        if len(digits) != _PDQ_DIGITS:
            raise BrokenListError(f"line {number} has {len(digits)} digits, a PDQ hash has 64")
        raw += bytes.fromhex(digits)
    return _Index(np.frombuffer(bytes(raw), np.uint64).reshape(-1, 4))


class _Index:
    """PDQ hashes in 16 bands of 16 bits. Of two hashes that differ by 31 bits at most, one band at
    least differs by one bit at most, so only hashes with such a band are compared. (Norouzi and
    others: Fast exact search in Hamming space with multi-index hashing, 2014.)
    """

    def __init__(self, hashes: NDArray[np.uint64]) -> None:
        """`hashes` are rows of four numbers."""
        import numpy as np

        self._hashes = hashes
        bands = hashes.view(np.uint16).T
        self._order = [np.argsort(band, kind="stable").astype(np.uint32) for band in bands]
        self._bands = [band[order] for band, order in zip(bands, self._order, strict=True)]
        self._flips = np.array([0, *(1 << bit for bit in range(16))], np.uint16)

    def distance(self, wanted: NDArray[np.uint64]) -> int:
        """The bits by which the nearest of them differs; above 31 it is any such number."""
        import numpy as np

        least = 256
        for band, order, value in zip(
            self._bands, self._order, wanted.view(np.uint16), strict=True
        ):
            values = value ^ self._flips
            starts = np.searchsorted(band, values, "left")
            ends = np.searchsorted(band, values, "right")
            for start, end in zip(starts, ends, strict=True):
                if start < end:
                    near = self._hashes[order[start:end]] ^ wanted
                    least = min(least, int(np.bitwise_count(near).sum(axis=1, dtype=int).min()))
        return least


def _looks(jpeg: bytes) -> NDArray[np.uint64] | None:
    """The PDQ hashes of an image as it is, turned and mirrored: eight rows. None if it is flat.

    PDQ can give all eight from one transform, but each is then up to 30 bits from the hash of the
    image that was really turned: that missed a fifth of mirrored copies.
    """
    import numpy as np
    import pdqhash
    from PIL import Image

    with Image.open(BytesIO(jpeg)) as image:
        image.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
        pixels = np.asarray(image.convert("RGB"))
    turned = [np.rot90(each, k) for each in (pixels, pixels[:, ::-1]) for k in range(4)]
    made = [pdqhash.compute(np.ascontiguousarray(each)) for each in turned]
    vectors, quality = [vector for vector, _ in made], made[0][1]
    if quality < _LEAST_QUALITY:
        return None
    return np.packbits(np.stack(vectors).astype(np.uint8), axis=1).view(np.uint64)
