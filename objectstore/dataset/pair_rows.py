"""Rows of tables by their pair: which of them a later version of the same pair replaces.

A row is 28 bytes: 96 bits of the sha256 of its pair_id, its version and its offset. Among a billion
pairs, two have the same 96 bits with a probability of 1 in 10^11.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

from kaption.objectstore.dataset.table import read_parquet
from kaption.objectstore.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.void]
    """Rows of `ROW`, in the order of pair, version and offset."""

Kind = list[tuple[str, str]]
ROW: Kind = [("high", "<u8"), ("low", "<u4"), ("version", "<i8"), ("offset", "<i8")]
REPLACED: Kind = [("offset", "<i8"), ("since", "<i8")]
"""A replaced sample: its offset, and the lowest `end` less 1 of a chain of shards that holds the
sample and one that replaces it."""
ID: Kind = [("high", "<u8"), ("low", "<u4")]
_ID_BYTES = 12


def pair_rows(pair_ids: Iterable[str], versions: Any, offsets: Any) -> Rows:
    """Return rows of pairs, given as columns. An offset that occurs twice is taken once."""
    import numpy as np

    ids = hashed(pair_ids)
    rows = np.empty(len(ids), ROW)
    rows["high"], rows["low"] = ids["high"], ids["low"]
    rows["version"], rows["offset"] = versions, offsets
    return ordered(rows)


def ordered(rows: Rows) -> Rows:
    """Return the rows in their order, each offset once."""
    import numpy as np

    rows = rows[np.unique(rows["offset"], return_index=True)[1]]
    return rows[np.lexsort((rows["offset"], rows["version"], rows["low"], rows["high"]))]


def of_same_pairs(rows: Rows, wanted: Rows) -> Rows:
    """Return those of `rows` whose pairs may be among those of `wanted`."""
    import numpy as np

    return rows[np.isin(rows["high"], wanted["high"])]


def replaced_in(rows: Rows) -> NDArray[np.void]:
    """Return the rows (`REPLACED`, by offset) that another of `rows` replaces.

    The latest row of a pair has the highest version, and among equal versions the highest offset.
    """
    import numpy as np

    count = len(rows)
    if count < 2:
        return np.empty(0, REPLACED)
    same = _same_as_next(rows)
    pair = np.concatenate(([0], np.cumsum(~same)))
    by_offset = np.sort(rows["offset"])
    rank = np.searchsorted(by_offset, rows["offset"])
    # For each row, the lowest offset from it to the last row of its pair. It is a running minimum
    # from the back, which starts anew at each pair because pairs in front have lower numbers.
    lowest = np.minimum.accumulate((pair * count + rank)[::-1])[::-1] - pair * count
    found = np.empty(int(same.sum()), REPLACED)
    found["offset"] = rows["offset"][:-1][same]
    found["since"] = np.maximum(found["offset"], by_offset[lowest[1:][same]])
    return found[np.argsort(found["offset"])]


def joined(older: NDArray[np.void], newer: NDArray[np.void]) -> NDArray[np.void]:
    """Return the replaced samples of both, by offset. Of one that is in both, `newer` holds."""
    import numpy as np

    both = np.concatenate([newer, older])
    return both[np.unique(both["offset"], return_index=True)[1]]


def latest(rows: Rows) -> Rows:
    """Return the latest row of each pair."""
    import numpy as np

    last = np.ones(len(rows), bool)
    last[:-1] = ~_same_as_next(rows)
    return rows[last]


class LatestRows:
    """The latest row of each pair, for look-ups."""

    def __init__(self, rows: Rows) -> None:
        import numpy as np

        found = latest(rows)
        self._high = np.ascontiguousarray(found["high"])
        self._rest = found[["low", "version", "offset"]]

    def replaces(self, pair_id: str, version: int, offset: int) -> bool:
        """Whether one of the rows replaces the pair's sample of that version and offset."""
        import numpy as np

        ((high, low),) = hashed([pair_id]).tolist()
        place = int(np.searchsorted(self._high, np.uint64(high)))
        while place < len(self._high) and int(self._high[place]) == high:
            other, *newest = self._rest[place].tolist()
            if other == low:
                return tuple(newest) > (version, offset)
            place += 1
        return False


def encoded_rows(rows: NDArray[np.void]) -> bytes:
    """Return rows as a Parquet table. The same rows give the same bytes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = rows.dtype.names or ()
    table = pa.table({name: pa.array(np.ascontiguousarray(rows[name])) for name in names})
    file = BytesIO()
    ascending = dict.fromkeys(
        {"high", "offset", "since", "rule"} & set(names), "DELTA_BINARY_PACKED"
    )
    pq.write_table(table, file, compression="zstd", use_dictionary=False, column_encoding=ascending)
    return file.getvalue()


def decoded_rows(data: bytes, kind: Kind) -> NDArray[np.void]:
    """Return what `encoded_rows` was given. Raises ValueError for other bytes."""
    import numpy as np
    import pyarrow as pa

    try:
        table = read_parquet(data)
        rows = np.empty(len(table), kind)
        for name, _ in kind:
            rows[name] = table[name].to_numpy()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"not rows of pairs: {error}") from error
    return rows


def stored_rows(objects: ObjectStore, key: str | None, kind: Kind) -> NDArray[np.void]:
    """Return the rows of an object, or no rows if `key` is None.

    Raises KeyError for an object that is missing or damaged, and Retry for a store that is down.
    """
    import numpy as np

    if key is None:
        return np.empty(0, kind)
    data = objects.get(key)
    if not key.endswith(f"-{digest_of(data)}.parquet"):
        raise KeyError(key)
    try:
        return decoded_rows(data, kind)
    except ValueError as error:
        raise KeyError(key) from error


def digest_of(data: bytes) -> str:
    """The digest in the key of an object with rows: 16 hexadecimal digits."""
    return sha256(data).hexdigest()[:16]


def hashed(ids: Iterable[str]) -> NDArray[np.void]:
    """Return 96 bits of the sha256 of each id (`ID`), in their order."""
    import numpy as np

    digests = (sha256(each.encode()).digest()[:_ID_BYTES] for each in ids)
    return np.frombuffer(b"".join(digests), ID)


def _same_as_next(rows: Rows) -> NDArray[np.bool_]:
    import numpy as np

    ids = rows[["high", "low"]]
    return np.asarray(ids[:-1] == ids[1:], bool)
