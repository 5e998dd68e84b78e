"""Rows of rules in one object, of which a search reads the blocks that may have its rules.

An object is the length of its head, the head and the blocks. Its rows are in the order of rule and
offset. A block has the next `BLOCK` of them: how far each rule is from the one before, and the
number of its shard, in as few bits as all of them fit into. The head says for each block its first
rule, its bits a row and its CRC-32, and at which offsets the shards begin. The object's key has the
digest of the head. A rule costs the head and one block: about 20 kB of 2,000,000 rows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, NamedTuple

from kaption.objectstore.dataset.pair_rows import Kind, digest_of
from kaption.objectstore.store import ObjectStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULE: Kind = [("rule", "<u8"), ("offset", "<i8")]
BLOCK = 4096
_BLOCK: Kind = [("rule", "<u8"), ("bits", "<u4"), ("crc", "<u4")]
_LENGTH = struct.Struct("<I")
_COUNTS = struct.Struct("<II")
_FIRST = 1 << 14
"""Bytes that a search asks for first. The heads of most objects are shorter."""
_GAP = 1 << 16
"""Bytes between two blocks that are read, too, because another call would cost more."""


def encoded_blocks(rows: NDArray[np.void]) -> tuple[bytes, str]:
    """Return one row or more (`RULE`) as an object's bytes, and the digest for its key."""
    import numpy as np

    rows = rows[np.lexsort((rows["offset"], rows["rule"]))]
    starts, shards = np.unique(rows["offset"], return_inverse=True)
    shard_bits, blocks, heads = _bits(starts), list[bytes](), list[tuple[int, int, int]]()
    for at in range(0, len(rows), BLOCK):
        rules = rows["rule"][at : at + BLOCK]
        steps = np.diff(rules, prepend=rules[:1])
        values = steps << shard_bits | shards[at : at + BLOCK].astype(np.uint64)
        bits = int(values.max()).bit_length()
        blocks.append(_packed(values, bits))
        heads.append((int(rules[0]), bits, zlib.crc32(blocks[-1])))
    counts = _COUNTS.pack(len(rows), len(starts))
    head = zlib.compress(counts + np.array(heads, _BLOCK).tobytes() + starts.tobytes())
    return b"".join([_LENGTH.pack(len(head)), head, *blocks]), digest_of(head)


def stored_blocks(
    objects: ObjectStore, key: str, rules: NDArray[np.uint64] | None = None
) -> NDArray[np.void]:
    """Return an object's rows (`RULE`) of some rules, which are in their order; of None, all rows.

    Raises KeyError for an object that is missing, and where a part that is read is damaged. Raises
    Retry for a store that is down.
    """
    import numpy as np

    data = objects.get(key) if rules is None else objects.get_part(key, 0, _FIRST)
    if len(data) < _LENGTH.size:
        raise KeyError(key)
    begin = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if len(data) < begin and rules is not None:
        data += objects.get_part(key, len(data), begin - len(data))
    head = data[_LENGTH.size : begin]
    if not key.endswith(f"-{digest_of(head)}.bin"):
        raise KeyError(key)
    blocks, starts = _decoded(head, begin)
    if rules is not None:
        blocks = _wanted(blocks, rules)
    found = [np.empty(0, RULE)]
    for run in _runs(blocks):
        first, end = run[0].start, run[-1].end
        part = data[first:end] if end <= len(data) else objects.get_part(key, first, end - first)
        for block in run:
            content = part[block.start - first : block.end - first]
            if zlib.crc32(content) != block.crc:
                raise KeyError(key)
            rows = _rows(block, content, starts)
            found.append(rows if rules is None else rows[np.isin(rows["rule"], rules)])
    return np.concatenate(found)


class _Block(NamedTuple):
    rule: int
    bits: int
    crc: int
    rows: int
    start: int
    end: int


def _decoded(head: bytes, begin: int) -> tuple[list[_Block], NDArray[np.int64]]:
    """Return the blocks, the first of which begins at byte `begin`, and the starts of shards."""
    import numpy as np

    head = zlib.decompress(head)
    left, shards = _COUNTS.unpack_from(head)
    blocks, start = list[_Block](), begin
    for rule, bits, crc in np.frombuffer(head[_COUNTS.size : -8 * shards], _BLOCK).tolist():
        rows = min(BLOCK, left)
        end = start + (rows * bits + 7) // 8
        blocks.append(_Block(rule, bits, crc, rows, start, end))
        left, start = left - rows, end
    return blocks, np.frombuffer(head[-8 * shards :], "<i8")


def _wanted(blocks: Sequence[_Block], rules: NDArray[np.uint64]) -> list[_Block]:
    """Return the blocks that may have rows of the rules. A rule may fill many blocks."""
    import numpy as np

    firsts = np.array([block.rule for block in blocks], np.uint64)
    # The rule that a block ends with may be the one that the next block begins with.
    ends = np.searchsorted(rules, np.append(firsts[1:], np.uint64(1 << 63)), "right")
    held = ends > np.searchsorted(rules, firsts, "left")
    return [block for block, one in zip(blocks, held, strict=True) if one]


def _runs(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Divide blocks into what one call reads."""
    run = list[_Block]()
    for block in blocks:
        if run and block.start - run[-1].end > _GAP:
            yield run
            run = []
        run.append(block)
    if run:
        yield run


def _rows(block: _Block, content: bytes, starts: NDArray[np.int64]) -> NDArray[np.void]:
    import numpy as np

    values, shard_bits = _unpacked(content, block), _bits(starts)
    rows = np.empty(block.rows, RULE)
    rows["rule"] = np.uint64(block.rule) + np.cumsum(values >> shard_bits)
    rows["offset"] = starts[values & ((np.uint64(1) << shard_bits) - np.uint64(1))]
    return rows


def _bits(starts: Sized) -> np.uint64:
    """How many bits the number of a shard has."""
    import numpy as np

    return np.uint64((len(starts) - 1).bit_length())


def _packed(values: NDArray[np.uint64], bits: int) -> bytes:
    import numpy as np

    each = np.unpackbits(values.astype(">u8").view(np.uint8).reshape(-1, 8), axis=1)
    return np.packbits(each[:, 64 - bits :]).tobytes()


def _unpacked(content: bytes, block: _Block) -> NDArray[np.uint64]:
    import numpy as np

    size = block.rows * block.bits
    every = np.zeros((block.rows, 64), np.uint8)
    found = np.unpackbits(np.frombuffer(content, np.uint8), count=size)
    every[:, 64 - block.bits :] = found.reshape(block.rows, block.bits)
    return np.packbits(every, axis=1).view(">u8").ravel().astype(np.uint64)
