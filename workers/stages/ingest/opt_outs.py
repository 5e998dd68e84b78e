"""Refuses images whose owners do not want them used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import Counter

from kaption.schemas import OptOutSignal, RawPair, Reason
from kaption.schemas.address import is_web
from kaption.schemas.limits import DETAIL_CHARS, LIST_ITEMS
from kaption.schemas.opt_outs.directives import (
    declared,
    header_signals,
    named,
    product_token,
    reservation_signals,
)
from kaption.schemas.opt_outs.rsl import RSL_UNREAD, linked_licences
from kaption.workers.fetch.fetcher import Fetched
from kaption.workers.fetch.site_rules import TDM_RESERVATION, SiteRules
from kaption.workers.policy.ingest import IngestPolicy
from kaption.workers.runtime.stage import Reject

Signals = tuple[OptOutSignal, ...]

UNREADABLE = Counter(
    "kaption_image_metadata_unreadable_total",
    "Records whose image has broken metadata (xmp, c2pa): its opt-outs are not read. They go on. "
    "Rising: look at what writes the files of this source.",
    ("kind",),
)


class OptOuts:
    """Reads what owners say at an image's address, and decides whether it counts."""

    def __init__(self, policy: IngestPolicy, sites: SiteRules) -> None:
        self._respected = policy.respect_opt_out
        self._ignored = frozenset(policy.ignore_opt_outs)
        self._sites = sites
        self._agents = named([product_token(policy.fetch.user_agent)])

    def refuse(self, signals: Iterable[OptOutSignal]) -> None:
        """Raises Reject (opted_out) if a signal counts; the detail names each."""
        counting = [each for each in signals if each.kind not in self._ignored]
        if self._respected and counting:
            raise Reject(Reason.OPTED_OUT, ", ".join(map(_shown, counting))[:DETAIL_CHARS])

    def with_terms(self, record: RawPair) -> RawPair:
        """A record whose image is fetched, with the terms of the licences that its page names.

        Crawlers fetch no licence. Of one that permits training no signal is left. Raises Later, and
        Reject (opted_out) before a licence is asked for that need not be.
        """
        unread = [each for each in record.opt_out if each.kind == RSL_UNREAD and is_web(each.value)]
        ignored = RSL_UNREAD in self._ignored or not self._respected
        if not unread or ignored or record.image.url is None:
            return record
        found = [each for each in record.opt_out if each not in unread]
        self.refuse(found)
        page = record.page_url or record.image.url
        found += self._sites.licence_signals([each.value for each in unread], page, page)
        return record.model_copy(update={"opt_out": tuple(found[:LIST_ITEMS])})

    def refuse_known(self, url: str) -> None:
        """Refuse an image before it is fetched, if its site is known to forbid it.

        A site that is not known yet is asked after the image came: a dead server then costs one
        wait and not two. Raises Reject (opted_out, and what the fetcher raises on a bad URL).
        """
        if self._respected:
            self.refuse(self._sites.signals(url, self._ignored, ask=False))

    def of_answers(self, fetched: Fetched) -> Signals:
        """Refuse an image by its answer and its site. Returns signals of kinds that are ignored.

        Those of the redirects that led to it count too. An owner who moves images to another host
        says so at the address that the page names: web servers add such headers to redirects.
        Raises Reject (opted_out) before a site is asked that need not be.
        """
        answers = [*fetched.redirects, (fetched.final_url, fetched.headers)]
        signals = [each for url, headers in answers for each in self._of_headers(url, headers)]
        self.refuse(signals)
        if self._respected:
            for url, headers in answers:
                # A header overrides the site's file, as the protocol says.
                over = {TDM_RESERVATION} if declared(headers) else set()
                self.refuse(self._sites.signals(url, self._ignored | over))
                # Of licences that contradict each other the strictest counts (RSL 1.0).
                licences = tuple(linked_licences(headers))
                self.refuse(self._sites.licence_signals(licences, url, url, self._ignored))
        return tuple(signals)

    def _of_headers(self, url: str, headers: Iterable[tuple[str, str]]) -> Iterator[OptOutSignal]:
        yield from header_signals(headers, self._agents, url)
        yield from reservation_signals(declared(headers), url)


def _shown(signal: OptOutSignal) -> str:
    said = f"{signal.kind} {signal.value}".strip()
    return f"{said} at {signal.source}" if signal.source else said
