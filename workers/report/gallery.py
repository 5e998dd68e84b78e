"""A sample of pairs to show: each kind of outcome has its part, and it is always the same one."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from kaption.schemas import CleanPair, DeadLetter, Position, Provenance, RejectedPair
from kaption.schemas.address import is_web
from kaption.schemas.caption import TextSource
from kaption.schemas.limits import URL_CHARS
from kaption.schemas.pair import image_url
from kaption.schemas.takedown import Rule, TakedownKind, own_rules
from kaption.workers.report.spent import provenance_of
from kaption.workers.stores.footprint import holder_of

_CHARS = 600
"""The most characters of a text that are shown."""
_CAPTIONS = 6
_OWNERS = 100_000
"""Kept pairs that copies may be shown beside."""


@dataclass(frozen=True, slots=True)
class ShownText:
    """A text of a pair, with its score and its checks."""

    text: str
    kind: str
    model: str = ""
    score: float | None = None
    specificity: float | None = None
    passed: tuple[str, ...] = ()
    """Names of the checks that it passed."""
    failed: tuple[str, ...] = ()
    """Names of the others, with what they say."""


@dataclass(frozen=True, slots=True)
class Card:
    """A pair as the report shows it. All texts are untrusted."""

    pair_id: str
    outcome: str
    """clean, a stage and a reason such as ``select.low_alignment``, or ``score.dead``."""
    kind: str = ""
    """The kind of a clean pair's best caption."""
    detail: str = ""
    """Why it was rejected or died."""
    alt_text: str = ""
    alt_score: float | None = None
    captions: tuple[ShownText, ...] = ()
    """Best first."""
    threshold: float | None = None
    language: str = ""
    source: str = ""
    address: str = ""
    """The URL of the image."""
    page: str = ""
    """The URL of the page that shows the image."""
    blob: str | None = None
    """The sha256 of the stored image."""
    origin: str = ""
    copy_of: str | None = None
    """The origin that holds the image, of a pair that was rejected as a copy."""
    kept_id: str | None = None
    """The pair_id of the pair that was kept instead of this copy."""
    kept_blob: str | None = None
    """The sha256 of the kept pair's image; `kept_text` is its text."""
    kept_text: str = ""

    @property
    def rules(self) -> set[Rule]:
        """The takedowns that would cover the pair."""
        addresses = {"image_url": self.address or None, "page_url": self.page or None}
        found = set(own_rules(TextSource(pair_id=self.pair_id, **addresses)))
        return found | {(TakedownKind.SHA256, it) for it in (self.blob, self.kept_blob) if it}


@dataclass
class Gallery:
    """Keeps the `size` pairs with the lowest digests of each outcome and kind.

    So replicas, orders and repetitions give the same sample, and memory is bounded.
    """

    size: int
    _kept: dict[tuple[str, str], list[tuple[int, str, Card]]] = field(default_factory=dict)
    _owners: dict[str, tuple[str, str | None, str]] = field(default_factory=dict)

    def add(self, record: CleanPair | RejectedPair | DeadLetter, origin: Position) -> None:
        """Look at one outcome."""
        self.add_card(card_of(record, str(origin)))

    def add_card(self, card: Card) -> None:
        """Look at one outcome that is a card already."""
        if card.blob and card.copy_of is None and len(self._owners) < _OWNERS:
            text = card.captions[0].text if card.captions else card.alt_text
            self._owners[card.origin] = card.pair_id, card.blob, text
        digest = -int.from_bytes(hashlib.blake2b(card.pair_id.encode(), digest_size=8).digest())
        heap = self._kept.setdefault((card.outcome, card.kind), [])
        known = next((at for at, each in enumerate(heap) if each[1] == card.pair_id), None)
        if known is None:
            heapq.heappush(heap, (digest, card.pair_id, card))
        else:  # a later version
            heap[known] = digest, card.pair_id, card
        if len(heap) > self.size:
            heapq.heappop(heap)

    def cards(self) -> list[Card]:
        """At most `size` cards: all pairs of rare outcomes, and equal numbers of the others."""
        left, chosen = self.size, list[Card]()
        groups = sorted(self._kept.values(), key=len)
        for at, heap in enumerate(groups):
            part = left // (len(groups) - at)
            found = [card for _, _, card in sorted(heap, key=lambda each: each[:2], reverse=True)]
            chosen += found[:part]
            left -= min(part, len(found))
        # Clean pairs with a new caption come first, then those with their alt text, then the rest.
        chosen.sort(key=lambda it: (it.outcome != "clean", it.kind == "original", it.blob is None))
        return [self._with_kept(card) for card in chosen]

    def _with_kept(self, card: Card) -> Card:
        if card.copy_of is None or card.copy_of not in self._owners:
            return card
        kept_id, blob, text = self._owners[card.copy_of]
        # A copy by its bytes shows the kept image; one that only looks alike has its own.
        own = card.blob or (blob if card.outcome.endswith(".duplicate") else None)
        return replace(card, kept_id=kept_id, kept_blob=blob, kept_text=text, blob=own)


def card_of(record: CleanPair | RejectedPair | DeadLetter, origin: str) -> Card:
    """The card of one outcome."""
    match record:
        case CleanPair():
            return _clean(record, origin)
        case RejectedPair():
            return _rejected(record, origin)
    key = (record.key or b"").decode(errors="replace")
    text = (record.value or b"").decode(errors="replace")
    return Card(
        pair_id=key or str(record.position),
        outcome=f"{record.stage}.dead",
        detail=_cut(record.error),
        alt_text=_cut(text),
        origin=origin,
    )


def write_cards(path: Path, cards: Iterable[Card]) -> None:
    """Write cards as JSON lines."""
    lines = (json.dumps(asdict(card)) for card in cards)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def read_cards(path: Path) -> Iterator[Card]:
    """Read what `write_cards` wrote. Raises OSError, ValueError and TypeError."""
    for line in path.read_text("utf-8").splitlines():
        found: dict[str, Any] = json.loads(line)
        captions = tuple(ShownText(**each) for each in found.pop("captions"))
        yield Card(**found, captions=captions)


def _clean(pair: CleanPair, origin: str) -> Card:
    captions = tuple(
        ShownText(
            text=_cut(caption.text),
            kind=caption.kind.value,
            model=caption.model or "",
            score=caption.score,
            specificity=caption.specificity,
            passed=tuple(it.name for it in caption.checks if it.passed),
            failed=tuple(
                f"{it.name}: {it.detail}" if it.detail else it.name
                for it in caption.checks
                if not it.passed
            ),
        )
        for caption in pair.captions[:_CAPTIONS]
    )
    return Card(
        pair_id=pair.pair_id,
        outcome="clean",
        kind=captions[0].kind,
        alt_text=_cut(pair.clean_text or pair.text),
        alt_score=pair.original_score,
        captions=captions,
        threshold=_threshold(pair.provenance),
        language=pair.detected_language or pair.language or "",
        source=pair.source or "",
        address=_address(image_url(pair)),
        page=_address(pair.page_url),
        blob=pair.image.blob.sha256,
        origin=pair.dedup.owner or origin,
    )


def _rejected(rejected: RejectedPair, origin: str) -> Card:
    record = rejected.record
    image: Mapping[str, Any] = _mapping(record.get("image"))
    blob = _mapping(image.get("blob")).get("sha256")
    original = _mapping(record.get("original"))
    return Card(
        pair_id=rejected.pair_id,
        outcome=f"{rejected.stage}.{rejected.reason.value}",
        detail=_cut(rejected.detail),
        alt_text=_cut(str(record.get("clean_text") or record.get("text") or "")),
        alt_score=original.get("score"),
        captions=tuple(
            ShownText(
                text=_cut(str(it.get("text", ""))),
                kind=str(it.get("kind", "")),
                model=str(it.get("model") or ""),
                score=it.get("score"),
            )
            for it in map(_mapping, list(record.get("candidates") or ())[:_CAPTIONS])
        ),
        threshold=_threshold(provenance_of(record)),
        language=str(record.get("detected_language") or record.get("language") or ""),
        source=str(record.get("source") or ""),
        address=_address(image.get("crawled_url") or image.get("url")),
        page=_address(record.get("page_url")),
        # A crawler's own blob is not decoded yet: only what ingest stored is shown.
        blob=blob if "original_sha256" in image else None,
        origin=str(_mapping(record.get("dedup")).get("owner") or origin),
        copy_of=holder_of(rejected),
    )


def _threshold(provenance: Provenance) -> float | None:
    found = [trace.threshold for trace in provenance.stages if trace.threshold is not None]
    return found[-1] if found else None


def _address(value: object) -> str:
    """A web address that is not too long to be followed."""
    return value if isinstance(value, str) and len(value) <= URL_CHARS and is_web(value) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _cut(text: str) -> str:
    return text if len(text) <= _CHARS else f"{text[:_CHARS]}…"
