"""A small site as an archive in every form that WARC files come in."""

import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

from fastwarc.stream_io import ZstdWriter, zstd_train_dictionary_from_samples
from fastwarc.warc import WarcRecord

from kaption.producers.sources import Item, open_source
from kaption.schemas import RawPair
from support.source_inputs import IMAGE, page, warc_record

TEXTS = ["one", "two", "three", "four", "five"]
MIB = 1024 * 1024


def site(texts: list[str] = TEXTS) -> list[bytes]:
    """Pages, and behind them their images."""
    pages = [
        warc_record(
            f"http://shop.example/{text}", "text/html", page([f'<img src="{text}" alt="{text}">'])
        )
        for text in texts
    ]
    images = [
        warc_record(f"http://cdn.example/{text}", "image/jpeg", IMAGE + text.encode())
        for text in texts
    ]
    return [*pages, *images]


def in_frames(records: list[bytes], dictionary: bytes | None = None, **how: bool) -> bytes:
    file = io.BytesIO()
    writer = ZstdWriter(file, dictionary=dictionary, **how) if dictionary else ZstdWriter(file)
    for each in records:
        WarcRecord.from_bytes(each).write(writer)
        writer.finish()
    writer.flush()
    return file.getvalue()


def as_one_frame(records: list[bytes]) -> bytes:
    file = io.BytesIO()
    writer = ZstdWriter(file)
    writer.write(b"".join(records))
    writer.finish()
    writer.flush()
    return file.getvalue()


def dictionary() -> bytes:
    return zstd_train_dictionary_from_samples(
        site([f"text {number}" for number in range(200)]), 8_000
    )


def zipped(records: list[bytes], how: int, *, order: int = 1) -> bytes:
    """A WACZ whose images and pages lie in different archives."""
    half = len(records) // 2
    members = {
        "pages/pages.jsonl": b"{}",
        "archive/rec-2.warc.gz": b"".join(map(gzip.compress, records[:half])),
        "indexes/index.cdx.gz": b"no archive",
        "archive/rec-1.warc": b"".join(records[half:]),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as out:
        for name, content in list(members.items())[::order]:
            out.writestr(name, content)
    return file.getvalue()


def in_lower_case(record: bytes) -> bytes:
    """The record with the names of its own headers in lower case."""
    head, _, body = record.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^[\w-]+(?=:)", lambda name: name[0].lower(), head) + b"\r\n\r\n" + body


FORMS: dict[str, tuple[str, Callable[[list[bytes]], bytes]]] = {
    "plain": ("a.warc", b"".join),
    "gzip": ("a.warc.gz", lambda records: b"".join(map(gzip.compress, records))),
    "gzip as a whole": ("a.warc.gz", lambda records: gzip.compress(b"".join(records))),
    "gzip as two wholes": (
        "a.warc.gz",
        lambda records: b"".join(
            gzip.compress(b"".join(each)) for each in (records[:2], records[2:])
        ),
    ),
    "gzip as a whole behind its first record": (
        "a.warc.gz",
        lambda records: gzip.compress(records[0]) + gzip.compress(b"".join(records[1:])),
    ),
    "gzip, several records in one member behind others": (
        "a.warc.gz",
        lambda records: b"".join(
            gzip.compress(b"".join(each))
            for each in (*([one] for one in records[:4]), records[4:7], records[7:])
        ),
    ),
    "gzip, a record with names in lower case": (
        "a.warc.gz",
        lambda records: b"".join(
            gzip.compress(in_lower_case(each) if at in (2, 6) else each)
            for at, each in enumerate(records)
        ),
    ),
    "zstd": ("a.warc.zst", in_frames),
    "zstd as a whole": ("a.warc.zst", as_one_frame),
    "dictionary": ("a.warc.zst", lambda records: in_frames(records, dictionary())),
    "packed dictionary": (
        "a.warc.zst",
        lambda records: in_frames(records, dictionary(), compress_dictionary_frame=True),
    ),
    "wacz": ("a.wacz", lambda records: zipped(records, zipfile.ZIP_STORED)),
    "wacz in another order": (
        "a.wacz",
        lambda records: zipped(records, zipfile.ZIP_STORED, order=-1),
    ),
    "wacz, deflated": ("a.wacz", lambda records: zipped(records, zipfile.ZIP_DEFLATED)),
    "wacz, lzma": ("a.wacz", lambda records: zipped(records, zipfile.ZIP_LZMA)),
}


def write(folder: Path, form: str, records: list[bytes], name: str | None = None) -> Path:
    path = folder / (name or FORMS[form][0])
    path.write_bytes(FORMS[form][1](records))
    return path


def items(path: Path, after: str | None = None) -> list[Item]:
    return [found.item for found in open_source(str(path)).read(after)]


def texts(found: list[Item]) -> list[str]:
    return [each.text for each in found if isinstance(each, RawPair)]
