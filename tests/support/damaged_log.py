"""Damages batches in the log of an Apache Kafka that runs: the broker sends them as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import crc32c

from kaption.schemas.wire import SCHEMA_HEADER

_LENGTH, _CRC, _ATTRIBUTES, _DELTA, _RECORDS = 8, 17, 21, 23, 61
"""Where the fields of a batch begin (its offset is at 0), and its records."""
_FRAME = 12


@dataclass(frozen=True)
class DamagedLog:
    """The log of one partition, in one segment."""

    folder: Path
    """The broker's folder."""
    topic: str
    partition: int

    def change(self, offset: int, how: Callable[[bytearray], None]) -> None:
        """Change the bytes of the batch that begins at this offset."""
        path = self.folder / "data" / f"{self.topic}-{self.partition}" / f"{0:020}.log"
        data = bytearray(path.read_bytes())
        at = 0
        while (found := int.from_bytes(data[at : at + 8])) != offset:
            assert found < offset, f"no batch begins at {offset}"
            at += _FRAME + int.from_bytes(data[at + _LENGTH : at + _FRAME])
        end = at + _FRAME + int.from_bytes(data[at + _LENGTH : at + _FRAME])
        batch = data[at:end]
        how(batch)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(batch)


def flip_a_record_byte(batch: bytearray) -> None:
    """What a bad disk does: the checksum is wrong."""
    batch[_RECORDS + 5] ^= 0x10


def flip_the_end(batch: bytearray) -> None:
    """The checksum is wrong, and so is the number of the last offset."""
    batch[_DELTA + 2] ^= 0x40


def flip_the_length(batch: bytearray) -> None:
    """The batch claims to be longer than the log: the broker gives nothing, and no error."""
    batch[_LENGTH + 2] ^= 0x10


def flip_the_offset(batch: bytearray) -> None:
    """No checksum covers the offset: the batch claims to lie behind the next ones."""
    batch[6] ^= 0x01


def move(by: int) -> Callable[[bytearray], None]:
    """No checksum covers the offset: the batch claims to lie before or behind its place."""

    def how(batch: bytearray) -> None:
        (offset,) = struct.unpack_from(">q", batch)
        struct.pack_into(">q", batch, 0, offset + by)

    return how


def flip_the_version(batch: bytearray) -> None:
    """The broker itself cannot read the batch, and says so."""
    batch[16] ^= 0x03


def claim_codec(number: int) -> Callable[[bytearray], None]:
    """The checksum is right, but the codec does not exist or did not make these bytes."""

    def how(batch: bytearray) -> None:
        (attributes,) = struct.unpack_from(">h", batch, _ATTRIBUTES)
        struct.pack_into(">h", batch, _ATTRIBUTES, attributes & ~7 | number)
        _sign(batch)

    return how


def cut_a_record(batch: bytearray) -> None:
    """The checksum is right, but a header of the last record claims more bytes than there are."""
    batch[batch.rindex(SCHEMA_HEADER.encode()) - 1] = 0x7E
    _sign(batch)


def _sign(batch: bytearray) -> None:
    struct.pack_into(">I", batch, _CRC, crc32c.crc32c(bytes(batch[_ATTRIBUTES:])))
