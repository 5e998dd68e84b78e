"""Shards of a data set: files, URLs or objects of S3, each read as a stream from an offset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import IO, cast

from kaption.connections.errors import Fault
from kaption.connections.settings import StoreConnection
from kaption.producers.errors import SourceError

_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_TIMEOUT_S = 60.0
_CHUNK = 1024 * 1024
_PARTIAL = 206


def shards_of(location: str, suffix: str, store: StoreConnection) -> list[str]:
    """The shards of a location in order.

    Of a folder and of ``s3://bucket/prefix/`` these are the names that end in `suffix`;
    ``{000..012}`` in a name stands for these numbers. Raises SourceError.
    """
    if braces := _BRACES.search(location):
        first, last = int(braces[1]), int(braces[2])
        width = len(braces[1])
        before, after = location[: braces.start()], location[braces.end() :]
        names = [f"{before}{number:0{width}}{after}" for number in range(first, last + 1)]
        return [each for name in names for each in shards_of(name, suffix, store)]
    if location.startswith("s3://") and not location.endswith(suffix):
        folder = location.rstrip("/")
        with _told(location):
            from kaption.objectstore import open_store

            keys = open_store(store.model_copy(update={"url": folder})).list("")
            found = [f"{folder}/{key}" for key in keys if key.endswith(suffix)]
    elif "://" not in location and Path(location).is_dir():
        found = [str(each) for each in sorted(Path(location).glob(f"*{suffix}"))]
    else:
        return [location]
    if not found:
        raise SourceError(f"{location} holds no {suffix} files: give their folder")
    return found


@contextmanager
def opened(shard: str, offset: int, store: StoreConnection) -> Iterator[IO[bytes]]:
    """A shard's bytes from `offset` on. An object of S3 is read into memory as a whole.

    Raises SourceError if it cannot be opened, or if reading fails inside the ``with`` block.
    """
    with _told(shard), _file(shard, offset, store) as file:
        yield file


def _file(shard: str, offset: int, store: StoreConnection) -> IO[bytes]:
    file: IO[bytes]
    if shard.startswith(("http://", "https://")):
        return _download(shard, offset)
    if shard.startswith("s3://"):
        from kaption.objectstore import open_store

        folder, _, key = shard.rpartition("/")
        try:
            file = BytesIO(open_store(store.model_copy(update={"url": folder})).get(key))
        except KeyError as error:
            raise SourceError(f"there is no object {shard}: correct the address") from error
    else:
        file = Path(shard).open("rb")  # noqa: SIM115 - who asked for it closes it
    file.seek(offset)
    return file


def _download(url: str, offset: int) -> IO[bytes]:
    from urllib.request import Request, urlopen

    headers = {"Range": f"bytes={offset}-"} if offset else {}
    answer = urlopen(Request(url, headers=headers), timeout=_TIMEOUT_S)  # noqa: S310 - the user's address, its scheme is checked
    if offset and answer.status != _PARTIAL:
        # The server ignored the range and sends the whole file.
        while offset and (part := answer.read(min(offset, _CHUNK))):
            offset -= len(part)
    return cast("IO[bytes]", answer)


@contextmanager
def _told(shard: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, Fault) as error:
        raise SourceError(
            f"{shard} cannot be read: {error}; run it again: it goes on where it stopped"
        ) from error
