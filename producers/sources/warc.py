"""Pairs from web archives (WARC, WACZ, WAT): images with the texts of the pages that embed them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from kaption.producers.archives.bodies import looks_like_html, looks_like_image
from kaption.producers.archives.container import is_archive, opened
from kaption.producers.archives.file import ArchiveFile
from kaption.producers.archives.images import ArchiveImages
from kaption.producers.archives.records import (
    ArchiveRecord,
    Damage,
    OddArchiveError,
    record_at,
    records,
)
from kaption.producers.archives.sites import ArchivedSites
from kaption.producers.archives.wat import NotedPage, noted_page
from kaption.producers.archives.zipped import WITHIN
from kaption.producers.errors import SourceError
from kaption.producers.sources._pair import cursor, pair_of, parts_of
from kaption.producers.sources.source import Found, Item, LocalSource, Unreadable
from kaption.producers.web import image_pairs
from kaption.producers.web.encoding import page_text
from kaption.schemas.limits import LIST_ITEMS
from kaption.schemas.pair import CRAWLED_URL, IMAGE_URL

_PACKED = ("", ".gz", ".zst")
_SUFFIXES = (*(f".warc{each}" for each in _PACKED), ".wacz", ".arc", ".arc.gz")
_WAT = tuple(f".wat{each}" for each in _PACKED)
# Archives of texts hold no images: they are refused with a reason.
_WET = tuple(f".wet{each}" for each in _PACKED)
ARCHIVES = (*_SUFFIXES, *_WAT, *_WET)
"""Endings of the names of archives, in lower case."""
_NO_IMAGES = (
    "holds no pages and no images; a WET archive holds none: give the WARC that it was made from"
)
_PAGES = ("text/html", "application/xhtml+xml")
_NO_TYPE = ("", "application/octet-stream", "binary/octet-stream")
_REFUSED = "~"
"""Ends the cursor behind a file that was refused. No name of an archive in a file is this."""
_DAMAGED_BYTES = 64 * 1024


class Warc(LocalSource):
    """The pairs on the pages of an archive, or of a folder of archives.

    Read are WARC files, plain, compressed with gzip or zstd (also with a dictionary), the ARC files
    from before 2009, WACZ files, and WAT files, which note the images of pages without their bytes.
    A WAT file beside its WARC in a folder is left out.

    `producers.web` finds a page's pairs. If the same file holds the image, the pair has its bytes,
    in the largest size in the file; otherwise the pair has its URL. The places of a file's images
    are kept in memory, about 200 bytes each.

    `agents` are comma-separated names of crawlers: opt-outs that name them count, beside opt-outs
    for all crawlers. `source` is the name of the data set. A cursor is a file's name, the offset of
    a page in bytes, and the number of its pairs that are read. Needs fastwarc, parsel, turbohtml
    and warcio (extra `sources`).
    """

    def __init__(
        self, location: str, *, agents: str | None = None, source: str | None = None
    ) -> None:
        super().__init__(location, source=source)
        self._agents = agents.split(",") if agents else []

    @classmethod
    def recognises(cls, location: str) -> bool:
        """A file with an archive's name ending or content, or a folder with such names."""
        path = Path(location)
        if "://" in location or not path.is_dir():
            named = location.lower().endswith(ARCHIVES)
            return "://" not in location and (named or (path.is_file() and is_archive(path)))
        return bool(_archives(path, ARCHIVES))

    def _read(self, after: str | None) -> Iterator[Found]:
        name, position, done = parts_of(after, str, int, int)
        folder = self._path.is_dir()
        files = _archives(self._path, (*_SUFFIXES, *_WAT)) if folder else [self._path]
        if not files:
            raise SourceError(f"{self._path} {_NO_IMAGES}")
        for path in files:
            refused = path.name + WITHIN + _REFUSED
            if path.name < name.partition(WITHIN)[0] or name == refused:
                continue
            try:
                yield from self._file(path, name, position, done)
            except SourceError as error:
                if not folder:
                    raise
                # The other files go on.
                refusal = Unreadable(path.name, b"", str(error))
                yield Found(refusal, cursor(refused, 0, 0), refusal.place)

    def _file(self, path: Path, name: str, position: int, done: int) -> Iterator[Found]:
        odd: set[str] = set()
        while True:
            with opened(path, odd) as archives:
                try:
                    images = ArchiveImages(archives)
                except OddArchiveError as found:
                    if found.name in odd:
                        raise SourceError(
                            f"{found.name} is compressed more than once: unpack it"
                        ) from found
                    odd.add(found.name)
                    continue
                if images.damage and not images.kinds:
                    raise SourceError(
                        f"{path} is damaged or no WARC file ({images.damage}): fetch it again"
                    )
                # Crawlers create files before they have an answer for them: empty is no error.
                if images.kinds and images.kinds <= {"conversion", "metadata"}:
                    raise SourceError(f"{path} {_NO_IMAGES}")
                sites = ArchivedSites(images, self._agents)
                for archive in archives:
                    if archive.name >= name:
                        begin = (position, done) if archive.name == name else (0, 0)
                        yield from self._pairs(archive, sites, *begin)
                return

    def _pairs(
        self, archive: ArchiveFile, sites: ArchivedSites, position: int, done: int
    ) -> Iterator[Found]:
        for record in records(archive, position):
            if isinstance(record, Damage):
                damaged = _unreadable(archive, record)
                yield Found(damaged, cursor(archive.name, record.end, 0), damaged.place)
                continue
            skip = done if record.position == position else 0
            place = f"{archive.name}:{record.url}"
            items = islice(self._items(archive, record, place, sites), skip, None)
            for number, item in enumerate(items, start=skip + 1):
                yield Found(item, cursor(archive.name, record.position, number), place)

    def _items(
        self, archive: ArchiveFile, record: ArchiveRecord, place: str, sites: ArchivedSites
    ) -> Iterator[Item]:
        noted = record.kind == "wat"
        if not noted and not _is_page(record):
            return
        try:
            _, content = record_at(archive, record.position)
            page = noted_page(content) if noted else _page(record, content)
        except ValueError as error:
            raw = archive.bytes_at(record.position, _DAMAGED_BYTES)
            at = f"at byte {record.position}"
            yield Unreadable(place, raw, f"the page {at}: {error}")
            return
        if page is not None:
            yield from self._pairs_of(page, place, sites)

    def _pairs_of(self, page: NotedPage, place: str, sites: ArchivedSites) -> Iterator[Item]:
        found = image_pairs(
            page.html,
            page.url,
            headers=page.headers,
            tdm_rep=sites.tdm_rep(page.url),
            agents=self._agents,
            fetched_at=page.fetched_at,
            archived=sites.images,
        )
        for fields in found:
            if self._source is not None:
                fields["source"] = self._source
            if "opt_out" in fields:
                fields["opt_out"] = [*sites.with_terms(fields["opt_out"], page.url)]
            url = fields["image"].get("url")
            image = sites.images.image(url) if url else None
            if image is not None:
                path, fields["image"] = image
                said = [signal.model_dump(mode="json") for signal in sites.signals(path)]
                fields["opt_out"] = [*fields.get("opt_out", ()), *said][:LIST_ITEMS]
                fields["extra"][IMAGE_URL] = path[-1].url
                if path[-1].url != url:
                    fields["extra"][CRAWLED_URL] = url
            yield pair_of(fields, place)


def _is_page(record: ArchiveRecord) -> bool:
    if not record.found or looks_like_image(record.head):
        return False
    unnamed = record.media_type in _NO_TYPE and looks_like_html(record.head)
    return record.media_type in _PAGES or unnamed


def _page(record: ArchiveRecord, content: bytes) -> NotedPage:
    url = record.url.partition("#")[0]
    html = page_text(content, record.content_type)
    return NotedPage(url, html, list(record.headers), record.fetched_at)


def _unreadable(archive: ArchiveFile, damage: Damage) -> Unreadable:
    raw = archive.bytes_at(damage.start, min(damage.end - damage.start, _DAMAGED_BYTES))
    return Unreadable(
        f"{archive.name}:{damage.start}",
        raw,
        f"bytes {damage.start} to {damage.end} are damaged ({damage.error}); the rest was read",
    )


def _archives(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The archives of a folder by name, without the WAT files whose WARC is there."""
    files = [each for each in folder.iterdir() if each.name.lower().endswith(suffixes)]
    names = {each.name for each in files}
    noted = [each for each in names if each.lower().endswith(_WAT)]
    names -= {each for each in noted if re.sub(r"\.wat\b", "", each, flags=re.I) in names}
    return sorted(each for each in files if each.name in names and each.is_file())
