"""The images of web archives, found by any spelling of an address that leads to them."""

from __future__ import annotations

from collections.abc import Iterable

from kaption.producers.archives.bodies import looks_like_html, looks_like_image
from kaption.producers.archives.file import ArchiveFile
from kaption.producers.archives.records import ArchiveRecord, Damage, record_at, records
from kaption.schemas.address import is_web, normal
from kaption.schemas.limits import INLINE_IMAGE_BYTES
from kaption.schemas.opt_outs.robots_txt import ROBOTS_TXT_PATH
from kaption.schemas.opt_outs.rsl import RSL_TYPE
from kaption.schemas.opt_outs.tdm_rep import TDM_REP_PATH

_Place = tuple[ArchiveFile, int]
# Most redirects and revisits that are followed to one image: browsers follow 20.
_STEPS = 20
_SITE_FILES = (ROBOTS_TXT_PATH, TDM_REP_PATH)


class ArchiveImages:
    """The images of several archives, without their bytes. An image's address is `in` it.

    The files in which sites speak about their images (robots.txt, tdmrep.json, licences of RSL) are
    found too.

    An address stands for the image behind its redirects and revisits. It may be written in another
    way: http or https, other letter case and default port of the host, an IDN or its Punycode,
    percent-encoded or not. Addresses are kept as hashes, because a hostile archive may hold
    millions of long ones.
    """

    def __init__(self, archives: Iterable[ArchiveFile]) -> None:
        """Reads all records once. Raises OddArchiveError and OSError."""
        self._places: dict[int, _Place] = {}
        self._links: dict[int, tuple[_Place, tuple[int, ...]]] = {}
        self.kinds: set[str] = set()
        """The kinds of records that the archives hold."""
        self.damage: str | None = None
        """The first damage."""
        for archive in archives:
            for found in records(archive):
                if isinstance(found, Damage):
                    self.damage = self.damage or found.error
                else:
                    self.kinds.add(found.kind)
                    self._add(archive, found)

    def __contains__(self, url: object) -> bool:
        return isinstance(url, str) and bool(self._path(url))

    def image(self, url: str) -> tuple[list[ArchiveRecord], bytes] | None:
        """The image, and the records that lead to it, its own last; None if none can be sent along.

        An image that is too large, empty or broken is none: ingest then fetches it.
        """
        found = self.read(url)
        content = found[-1][1] if found else b""
        if not 0 < len(content) <= INLINE_IMAGE_BYTES:
            return None
        return [record for record, _ in found], content

    def read(self, url: str) -> list[tuple[ArchiveRecord, bytes]]:
        """The image or file at an address behind what leads to it, each with its body, or nothing.

        What is broken is nothing.
        """
        try:
            return [record_at(*place) for place in self._path(url)]
        except ValueError:
            return []

    def _add(self, archive: ArchiveFile, record: ArchiveRecord) -> None:
        key, place = _key(record.url), (archive, record.position)
        said = record.url.endswith(_SITE_FILES) or record.media_type == RSL_TYPE
        if _is_image(record) or (record.found and said):
            self._places |= dict.fromkeys((key, *map(hash, record.names)), place)
        elif record.kind == "revisit":
            address, *names = record.refers_to or ("",)
            self._links[key] = place, (_key(address), hash(address), *map(hash, names))
        elif record.location is not None:
            self._links[key] = place, (_key(_utf8(record.location), record.url),)

    def _path(self, url: str) -> list[_Place]:
        """The places of redirects and revisits to an image, and of the image; empty without one."""
        paths: dict[int, tuple[_Place, ...]] = {_key(url): ()}
        left = list(paths)
        for key in left:
            if key in self._places:
                return [*paths[key], self._places[key]]
            if len(paths) > _STEPS or key not in self._links:
                continue
            place, following = self._links[key]
            new = [each for each in following if each not in paths]
            paths |= dict.fromkeys(new, (*paths[key], place))
            left += new
        return []


def _is_image(record: ArchiveRecord) -> bool:
    """Whether it is an image by its bytes, else by its type: servers call errors JPEG too."""
    named = record.media_type.startswith("image/") and not looks_like_html(record.head)
    return record.found and not record.cut and (named or looks_like_image(record.head))


def _key(url: str, base: str | None = None) -> int:
    """The hash of an address in its normal form, http and https alike."""
    form = normal(url, base)
    return hash(form.partition(":")[2] if is_web(form) else form)


def _utf8(header: str) -> str:
    """A header as the server meant it: it is read as Latin-1, and often sent as UTF-8."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
