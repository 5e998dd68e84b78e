"""A small input of each format: a pair for each of `TEXTS`, and behind the third an invalid one."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = ("a red mug", "eine Vase, blau", 'the "third", of four', "壺")
IMAGE = b"\xff\xd8picture "
"""Any bytes will do, because sources do not open images."""
_URL = "https://cdn.example/{}.jpg"


def jsonl(folder: Path) -> str:
    lines = [json.dumps({"image": _URL.format(at), "text": text}) for at, text in _numbered()]
    lines.insert(3, "{oops")
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def csv_table(folder: Path) -> str:
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerows([["URL", "TEXT"], *((_URL.format(at), text) for at, text in _numbered())])
    lines = rows.getvalue().splitlines()
    path = folder / "pairs.csv"
    path.write_text("\r\n".join([*lines[:4], "only one field", *lines[4:]]) + "\r\n")
    return str(path)


def parquet_table(folder: Path) -> str:
    """Two files, small row groups."""
    rows: list[dict[str, object]] = [
        {"url": _URL.format(at), "caption": text} for at, text in _numbered()
    ]
    rows.insert(3, {"url": None, "caption": "no picture"})
    tables = folder / "tables"
    tables.mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:3]), tables / "0.parquet", row_group_size=2)
    pq.write_table(pa.Table.from_pylist(rows[3:]), tables / "1.parquet")
    return str(tables)


def images(folder: Path) -> str:
    """Side files of both kinds, and a folder below."""
    top = folder / "pictures"
    _write_images(top)
    (top / "b").mkdir()
    (top / "b" / "3.jpg").write_bytes(IMAGE + b"alone")
    (top / "c").mkdir()
    for path in list(top.glob("3.*")):
        path.rename(top / "c" / path.name)
    return str(top)


def shards(folder: Path) -> str:
    """Two tars."""
    out = folder / "shards"
    out.mkdir()
    _write_shards(out)
    return str(out)


def img2dataset_tars(folder: Path) -> str:
    out = _img2dataset(folder)
    _write_shards(out)
    return str(out)


def img2dataset_files(folder: Path) -> str:
    out = _img2dataset(folder)
    _write_images(out / "00000")
    (out / "00000" / "2a.jpg").write_bytes(IMAGE + b"alone")
    return str(out)


def img2dataset_parquet(folder: Path) -> str:
    out = _img2dataset(folder)
    rows: list[dict[str, object]] = [
        {"url": _URL.format(at), "caption": text, "jpg": IMAGE + str(at).encode()}
        for at, text in _numbered()
    ]
    rows.insert(3, {"url": None, "caption": "no picture", "jpg": None})
    pq.write_table(pa.Table.from_pylist(rows), out / "00000.parquet")
    return str(out)


def warc(folder: Path) -> str:
    """Pages with images, one of them in the archive; and a page whose encoding is broken."""
    images = [f'<img src="/{at}.jpg" alt="{_escaped(text)}">' for at, text in _numbered()]
    html = "text/html; charset=utf-8"
    path = folder / "crawl.warc.gz"
    broken = gzip.compress(b"a page")[:10] + b"\xff broken"
    records = [
        warc_record("http://shop.example/a/", html, page(images[:2])),
        warc_record("http://cdn.example/1.jpg", "image/jpeg", IMAGE),
        warc_record("http://shop.example/b/", html, page(images[2:3])),
        warc_record("http://shop.example/c/", f"{html}\r\nContent-Encoding: gzip", broken),
        warc_record("http://shop.example/d/", html, page(images[3:])),
    ]
    path.write_bytes(b"".join(gzip.compress(record) for record in records))
    return str(path)


def saved_dataset(folder: Path) -> str:
    """One split of several files."""
    out = folder / "saved"
    _dataset(0, None).save_to_disk(out, num_shards=2)
    return str(out)


def saved_splits(folder: Path) -> str:
    """Two splits, not in the order of their names."""
    import datasets

    out = folder / "splits"
    splits = {"train": _dataset(0, 4), "test": _dataset(4, None)}
    datasets.DatasetDict(splits).save_to_disk(out)
    return str(out)


INPUTS: dict[str, tuple[Callable[[Path], str], ...]] = {
    "jsonl": (jsonl,),
    "table": (csv_table, parquet_table),
    "folder": (images,),
    "webdataset": (shards,),
    "img2dataset": (img2dataset_tars, img2dataset_files, img2dataset_parquet),
    "warc": (warc,),
    "huggingface": (saved_dataset, saved_splits),
}
"""The function that makes the input, by format."""


def page(images: Iterable[str]) -> bytes:
    """HTML with a <base> on another host."""
    blocks = "".join(f"<div><p>{image}</p></div>" for image in images)
    return f'<html><base href="http://cdn.example/">{blocks}</html>'.encode()


def warc_record(
    url: str, media_type: str, body: bytes, status: str = "200 OK", warc: str = "", kind: str = ""
) -> bytes:
    """A response, or another `kind`, uncompressed; `warc` holds further headers of the record."""
    http = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\n\r\n".encode() + body
    head = (
        f"WARC/1.1\r\nWARC-Type: {kind or 'response'}\r\nWARC-Target-URI: {url}\r\n"
        f"WARC-Date: 2026-01-02T03:04:05Z\r\n{warc}"
        f"WARC-Record-ID: <urn:uuid:{uuid5(NAMESPACE_URL, url)}>\r\n"
        "Content-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """A tar as WebDataset's writer makes it."""
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def _numbered() -> Iterable[tuple[int, str]]:
    return enumerate(TEXTS)


def _escaped(text: str) -> str:
    return text.replace('"', "&quot;")


def _write_images(folder: Path) -> None:
    folder.mkdir()
    for at, text in _numbered():
        (folder / f"{at}.jpg").write_bytes(IMAGE + str(at).encode())
        fields = {"url": _URL.format(at)}
        if at % 2:
            fields["caption"] = text
        else:
            (folder / f"{at}.txt").write_text(text)
        (folder / f"{at}.json").write_text(json.dumps(fields))


def _write_shards(folder: Path) -> None:
    members: list[tuple[str, bytes]] = []
    for at, text in _numbered():
        if at == 3:
            members.append(("2a.txt", b"no picture"))
        members.append((f"{at}.jpg", IMAGE + str(at).encode()))
        fields = {"caption": text, "key": str(at), "url": _URL.format(at)}
        members.append((f"{at}.json", json.dumps(fields).encode()))
    write_tar(folder / "00000.tar", members[:4])
    write_tar(folder / "00001.tar", members[4:])


def _dataset(first: int, end: int | None) -> Any:
    """The rows with these numbers; the fourth has no image."""
    import datasets  # seconds to load

    rows: list[dict[str, object]] = [
        {
            "picture": {"bytes": IMAGE + str(at).encode(), "path": None},
            "caption": text,
            "URL": _URL.format(at),
        }
        for at, text in _numbered()
    ]
    rows.insert(3, {"picture": None, "caption": "no picture", "URL": None})
    string = datasets.Value("string")
    features = {"picture": datasets.Image(), "caption": string, "URL": string}
    return datasets.Dataset.from_list(rows[first:end], datasets.Features(features))


def _img2dataset(folder: Path) -> Path:
    out = folder / "out"
    out.mkdir()
    (out / "00000_stats.json").write_text("{}")
    return out
