"""Reads what an image file says against its use for training, before re-encoding drops it.

A broken block says nothing, costs no image and is named in the result.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any
from xml.parsers import expat  # a document type is refused, so there are no entities

from kaption.schemas import OptOutSignal
from kaption.schemas.opt_outs.directives import reservation_signals, signal
from kaption.schemas.opt_outs.tdm_rep import reservation
from kaption.workers.decode.metadata.blocks import has_jumbf, jumbf, packets_with, xmp_packets

XMP_DATA_MINING = "xmp_data_mining"
TDM_RESERVATION = "tdm_reservation"
C2PA_TRAINING_MINING = "c2pa_training_mining"
SOURCE = "image file"
BLOCKS = ("c2pa", "xmp")
MAX_SIGNALS = 16
MAX_PACKETS = 64
"""An image has one or two."""
MAX_ASSERTION_BYTES = 1 << 20
MAX_ASSERTIONS = 64
"""An image has one, and one for each image that it was made from."""
_PROPERTY = "datamining"
"""DataMining of PLUS LDF 1.2.1, also an IPTC property since 2023, in any case."""
_RESERVATION = re.compile(rb"tdm(?:rep)?:reservation")
"""Of the TDM Reservation Protocol, which defines it for the XMP of PDF."""
# Each prohibiting value has PROHIBITED in it. Some write other words. The name of UNSPECIFIED is
# "no prohibition defined".
_PROHIBITS = re.compile(
    r"(?<!no[-_ ])(?<!not[-_ ])prohibit|forbid|denied|disallow|not[-_ ]?(?:allowed|permitted)"
    r"|opt(?:ed)?[-_ ]?out|\bno[-_ ]?(?:ai|ml|tdm|training|(?:data[-_ ]?)?mining)\b|^\s*no\s*$",
    re.IGNORECASE,
)
# Where a packet is no XML: a bare & or a character of Latin-1 is common, and no parser of XML goes
# on behind it. An attribute, or an element's content.
_WRITTEN = re.compile(
    rb"DataMining\s{0,20}(?:=\s{0,20}([\"'])(?P<attribute>.{0,1000}?)\1"
    rb"|(?:\s[^<>]{0,1000})?>(?P<content>.{0,1000}?)</[\w:]{0,100}DataMining\b"
    rb"|\s(?P<inside>[^<>]{0,1000})/>)",
    re.DOTALL | re.IGNORECASE,
)
_WRITTEN_TIMES = 100
_ASSERTION = re.compile(
    rb"jumd.{17}((?:c2pa|cawg)\.training-mining[^\x00]{0,60})\x00", flags=re.DOTALL
)
_REFUSED = {"notallowed", "constrained", "disallowed", "prohibited", "forbidden", "denied"}
_BOXES = 8
_Value = tuple[str, str]
"""The kind of a signal, and a text that may give it."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the metadata of an image file says."""

    signals: tuple[OptOutSignal, ...]
    unreadable: tuple[str, ...]
    """The names in `BLOCKS` of blocks that could not be read."""


def declared(data: bytes, kind: str, xmp: object) -> Declared:
    """Read the XMP and C2PA metadata of a file. `xmp` is what Pillow found. Raises nothing."""
    broken: set[str] = set()
    found = (*_of_xmp(data, kind, xmp, broken), *_of_c2pa(data, kind, broken))
    return Declared(tuple(dict.fromkeys(found))[:MAX_SIGNALS], tuple(sorted(broken)))


def _of_xmp(data: bytes, kind: str, xmp: object, broken: set[str]) -> Iterator[OptOutSignal]:
    values: list[_Value] = []
    # A GIF may part a packet into blocks, whose lengths would stand in the value.
    plain = b"" if kind == "GIF" else data
    for packets in (packets_with(plain, _PROPERTY.encode()), xmp_packets(data, kind, xmp)):
        try:
            for packet in islice(packets, MAX_PACKETS):
                _read(packet, values, broken)
        except Exception:  # noqa: BLE001 # the metadata is broken, and the image need not be
            broken.add("xmp")
    for kind, value in values:
        if kind == TDM_RESERVATION:
            yield from reservation_signals(reservation(value, None), SOURCE)
        elif _PROHIBITS.search(value):
            yield signal(kind, value, SOURCE)


def _read(packet: bytes, values: list[_Value], broken: set[str]) -> None:
    # In UTF-16 and UTF-32 zeros stand between the letters.
    letters = packet.replace(b"\x00", b"")
    lowered = letters.lower()
    # Nearly no packet has the properties, so nearly none is parsed.
    if _PROPERTY.encode() not in lowered and not _RESERVATION.search(lowered):
        return
    padded = packet.strip(b"\x00")
    if not _collect(padded if padded == letters else packet, values):
        broken.add("xmp")
        values += ((XMP_DATA_MINING, each) for each in _written(letters))


def _written(letters: bytes) -> Iterator[str]:
    """What stands in a property `DataMining` of a packet that cannot be parsed."""
    first, *rest = letters.split(b"<!--")
    text = first + b"".join(each.partition(b"-->")[2] for each in rest)
    lowered = text.lower()
    at = 0
    for _ in range(_WRITTEN_TIMES):
        at = lowered.find(_PROPERTY.encode(), at)
        if at < 0:
            return
        tag = text.rfind(b"<", 0, at)
        found = None if text[tag + 1 : tag + 2] == b"/" else _WRITTEN.match(text, at)
        if found is not None:
            yield found[found.lastgroup or 0].decode("utf-8", "replace")
        at = at + len(_PROPERTY) if found is None else found.end()


def _collect(packet: bytes, values: list[_Value]) -> bool:
    """Add each text and each attribute of a property that counts.

    What stands before a broken place counts too. Returns whether there is none.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0
    held = ""

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, held
        held = held if depth else _kind(name)
        depth += bool(held)
        said = ((held or _kind(key), text) for key, text in attributes.items())
        values.extend((kind, text) for kind, text in said if kind)

    def end(_: str) -> None:
        nonlocal depth
        depth -= bool(depth)

    def text(found: str) -> None:
        if depth:
            values.append((held, found))

    def doctype(*_: object) -> None:
        raise ValueError("XMP has no document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(packet, True)
    except (expat.ExpatError, ValueError):
        return False
    return True


def _kind(name: str) -> str:
    """The kind of signal that a property may give, or "". DataMining has many prefixes."""
    prefix, _, local = name.lower().rpartition(":")
    if local == "reservation" and prefix in ("tdm", "tdmrep"):
        return TDM_RESERVATION
    return XMP_DATA_MINING if local == _PROPERTY else ""


def _of_c2pa(data: bytes, kind: str, broken: set[str]) -> Iterator[OptOutSignal]:
    """The training assertions of all manifests, also those of the images that it was made from."""
    if not has_jumbf(data):
        return
    boxes = jumbf(data, kind)
    for found in islice(_ASSERTION.finditer(boxes), MAX_ASSERTIONS):
        size = int.from_bytes(boxes[found.start() - 4 : found.start()], "big")
        try:
            entries = list(_entries(boxes, found.start() - 4 + size))
        except Exception:  # noqa: BLE001 # as above
            broken.add("c2pa")
            continue
        uses = [
            f"{name} {use}"
            for name, use in entries
            if re.sub(r"[\W_]", "", use.lower()) in _REFUSED
        ]
        if uses:
            label = found[1].decode("utf-8", "replace")
            yield signal(C2PA_TRAINING_MINING, f"{label}: {', '.join(uses)}", SOURCE)


def _entries(boxes: bytes, at: int) -> Iterator[tuple[str, str]]:
    """The name and the use of each entry in the content box that follows a description box."""
    import cbor2

    kind, body = _content(boxes, at)
    content = json.loads(body) if kind == b"json" else cbor2.loads(body)
    content = _lower(content)
    yield from _uses("", content.get("entries", content))


def _content(boxes: bytes, at: int) -> tuple[bytes, bytes]:
    """The kind and the body of the first box with content: padding (free) may stand before it."""
    for _ in range(_BOXES):
        size, kind = struct.unpack_from(">I4s", boxes, at)
        header = 16 if size == 1 else 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", boxes, at + 8)
        end = at + size if size else len(boxes)
        if kind in (b"json", b"cbor"):
            return kind, boxes[at + header : min(end, at + MAX_ASSERTION_BYTES)]
        at = end
    raise ValueError("an assertion without content")


def _uses(name: str, entry: Any, depth: int = 3) -> Iterator[tuple[str, str]]:
    """The uses in an entry, in a list of entries, or in an object of them by name."""
    if isinstance(entry, bytes):
        entry = entry.decode()
    if isinstance(entry, str):
        yield name, entry
    elif isinstance(entry, Mapping) and "use" in _lower(entry):
        yield from _uses(str(_lower(entry).get("name", name)), _lower(entry)["use"], 0)
    elif isinstance(entry, (Mapping, list, tuple)) and depth:
        for key, each in entry.items() if isinstance(entry, Mapping) else enumerate(entry):
            yield from _uses(str(key), each, depth - 1)


def _lower(found: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key.lower() if isinstance(key, str) else key: each for key, each in found.items()}
