"""Pairs from web archives (WARC): images with the texts of the pages that embed them."""

from __future__ import annotations

import re
from codecs import lookup
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from kaption.producers.sources._pair import cursor, pair_of, parts_of
from kaption.producers.sources._warc import Answer, answers, body
from kaption.producers.sources.source import Found, Item, LocalSource, SourceError, Unreadable
from kaption.producers.web import image_pairs
from kaption.schemas.limits import INLINE_IMAGE_BYTES

_SUFFIXES = (".warc", ".warc.gz")
# Files that are derived from archives and hold no images: they are refused with a reason.
DERIVED = tuple(f".warc.{kind}{packed}" for kind in ("wet", "wat") for packed in ("", ".gz"))
_PAGES = ("text/html", "application/xhtml+xml")
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_:.-]{1,40})", re.IGNORECASE)
_PROLOGUE_BYTES = 4096


class Warc(LocalSource):
    """The pairs on the pages of an archive, or of a folder of archives.

    `producers.web` finds a page's pairs. If the same file holds the image, the pair has its bytes,
    in the largest size in the file; otherwise the pair has its URL. The URLs of a file's images are
    kept in memory.

    `agents` are comma-separated names of crawlers: opt-outs that name them count, beside opt-outs
    for all crawlers. `source` is the name of the data set. A cursor is a file's name, the offset of
    a page in bytes, and the number of its pairs that are read. Needs fastwarc and parsel (extra
    `sources`).
    """

    def __init__(
        self, location: str, *, agents: str | None = None, source: str | None = None
    ) -> None:
        super().__init__(location, source=source)
        self._agents = agents.split(",") if agents else []

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A file with an archive's name ending, or a folder with such files."""
        if "://" in location:
            return False
        named = location.lower().endswith((*_SUFFIXES, *DERIVED))
        return named or bool(_archives(Path(location), (*_SUFFIXES, *DERIVED)))

    def _read(self, after: str | None) -> Iterator[Found]:
        name, position, done = parts_of(after, str, int, int)
        files = _archives(self._path) if self._path.is_dir() else [self._path]
        if not files:
            raise SourceError(
                f"{self._path} holds no {' or '.join(_SUFFIXES)} files; a WET or WAT archive holds "
                "no images: give the WARC that it was made from"
            )
        for path in files:
            if path.name >= name:
                begin = (position, done) if path.name == name else (0, 0)
                yield from self._pairs(path, *begin)

    def _pairs(self, path: Path, position: int, done: int) -> Iterator[Found]:
        images = {
            answer.url: answer.position
            for answer in answers(path)
            if answer.media_type.startswith("image/")
        }
        for page in answers(path, position):
            if page.media_type in _PAGES:
                skip = done if page.position == position else 0
                items = islice(self._items(path, page, images), skip, None)
                for number, item in enumerate(items, start=skip + 1):
                    yield Found(item, cursor(path.name, page.position, number))

    def _items(self, path: Path, page: Answer, images: Mapping[str, int]) -> Iterator[Item]:
        place = f"{path.name}:{page.url}"
        try:
            html = _text(body(path, page.position), page.charset)
        except ValueError as error:
            raw = body(path, page.position, decoded=False)
            yield Unreadable(place, raw, f"the page: {error}")
            return
        found = image_pairs(
            html,
            page.url,
            headers=page.headers,
            agents=self._agents,
            fetched_at=page.fetched_at,
            archived=images,
        )
        for fields in found:
            if self._source is not None:
                fields["source"] = self._source
            url = fields["image"].get("url")
            content = _image(path, images[url]) if url in images else None
            if content is not None:
                fields["image"] = content
                fields["extra"] = {**fields["extra"], "image_url": url}
            yield pair_of(fields, place)


def _image(path: Path, position: int) -> bytes | None:
    """The image's bytes, or None if they are too large, empty or broken; ingest then fetches it."""
    try:
        content = body(path, position)
    except ValueError:
        return None
    return content if 0 < len(content) <= INLINE_IMAGE_BYTES else None


def _text(page: bytes, charset: str | None) -> str:
    declared = _CHARSET.search(page[:_PROLOGUE_BYTES])
    name = charset or (declared[1].decode() if declared else "utf-8")
    try:
        return page.decode(lookup(name).name, errors="replace")
    except (LookupError, UnicodeError):
        return page.decode(errors="replace")


def _archives(folder: Path, suffixes: Iterable[str] = _SUFFIXES) -> list[Path]:
    return sorted(each for suffix in suffixes for each in folder.glob(f"*{suffix}"))
