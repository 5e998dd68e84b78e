"""What image servers say in a robots.txt, tdmrep.json and licence that lie in the same archive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any

from kaption.producers.archives.images import ArchiveImages
from kaption.producers.archives.records import ArchiveRecord
from kaption.producers.web import TdmRep, image_signals
from kaption.schemas import OptOutSignal
from kaption.schemas.address import is_web, normal, parsed
from kaption.schemas.opt_outs.directives import OWN_AGENT, declared, reservation_signals, signal
from kaption.schemas.opt_outs.robots_txt import ROBOTS_TXT_PATH, RobotsTxt, text_of
from kaption.schemas.opt_outs.rsl import RSL, RSL_UNREAD, Rsl, unread_signals
from kaption.schemas.opt_outs.tdm_rep import TDM_REP_PATH

# Servers whose rules are kept.
_SITES = 1_000
# RFC 9309 asks for 500 KiB at least.
_FILE_BYTES = 512 * 1024


class ArchivedSites:
    """The opt-outs of archived answers: in their headers, and in archived files of their servers.

    A file that is not in the archive says nothing, and no server is asked: it would tell what it
    allows today, about an image that was taken then.
    """

    def __init__(self, images: ArchiveImages, agents: Iterable[str]) -> None:
        self.images = images
        self._agents = list(agents)
        self._rules = lru_cache(_SITES)(self._read)
        self._licences = lru_cache(_SITES)(self._licence)

    def signals(self, records: Iterable[ArchiveRecord]) -> list[OptOutSignal]:
        """The signals of an image and of the redirects that led to it, each once."""
        return list(dict.fromkeys(each for record in records for each in self._of(record)))

    def tdm_rep(self, page_url: str) -> TdmRep:
        """What the archived tdmrep.json of a page's site says."""
        url = parsed(page_url)
        return self._rules(url.origin)[1] if url else TdmRep(())

    def with_terms(
        self, signals: Iterable[dict[str, Any]], page_url: str
    ) -> Iterator[dict[str, Any]]:
        """A page's signals, with the terms of its licences where the archive has them."""
        for each in signals:
            address = each.get("value", "")
            if each["kind"] != RSL_UNREAD or not is_web(address) or not self._file(address):
                yield each
                continue
            for said in self._licensed([address], page_url, page_url):
                yield said.model_dump(mode="json", exclude_none=True)

    def _of(self, record: ArchiveRecord) -> Iterator[OptOutSignal]:
        said = image_signals(record.headers, self._agents, record.url)
        yield from (each for each in said if each.kind != RSL_UNREAD)
        url = parsed(record.url)
        if url is None:
            return
        robots, tdm_rep = self._rules(url.origin)
        robots_txt = url.origin + ROBOTS_TXT_PATH
        for each in robots:
            yield from each.signals(url.href, robots_txt)
            yield from self._licensed(each.licences, robots_txt, url.href)
        linked = [each.value for each in said if each.kind == RSL_UNREAD]
        yield from self._licensed(linked, url.href, url.href)
        # A header overrides the site's file, as the protocol says.
        if declared((name.lower(), value) for name, value in record.headers) is None:
            reserved = tdm_rep.reservation(url.href)
            yield from reservation_signals(reserved, url.origin + TDM_REP_PATH)

    def _licensed(self, licences: Iterable[str], place: str, url: str) -> Iterator[OptOutSignal]:
        """The signals for a URL of RSL licences that are named at a place."""
        for address in dict.fromkeys(normal(each, place) for each in licences):
            licence = self._licences(address)
            if licence is None:
                yield from unread_signals([address], place)
            elif refused := licence.refusal(url):
                yield signal(RSL, refused, address)

    def _licence(self, address: str) -> Rsl | None:
        with suppress(ValueError):
            return Rsl.parse(self._file(address))
        return None

    def _read(self, origin: str) -> tuple[list[RobotsTxt], TdmRep]:
        text = text_of(self._file(origin + ROBOTS_TXT_PATH))
        tdm_rep = TdmRep(())
        with suppress(ValueError):
            tdm_rep = TdmRep.parse(self._file(origin + TDM_REP_PATH))
        names = dict.fromkeys([OWN_AGENT, *(each.strip() for each in self._agents)])
        return [RobotsTxt(text, name) for name in names] if text else [], tdm_rep

    def _file(self, url: str) -> bytes:
        found = self.images.read(url)
        return found[-1][1][:_FILE_BYTES] if found else b""
