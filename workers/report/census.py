"""Counts outcomes: one set of counters for summaries and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import floor
from typing import Any, NamedTuple

from kaption.schemas import CaptionKind, CleanPair, DeadLetter, Provenance, RejectedPair
from kaption.workers.checks.words import words
from kaption.workers.report.spent import CaptionerTotals, provenance_of

STAGES = ("ingest", "score", "recaption", "select", "sink")
WIDTH = 0.02
"""The width of a bar of the histograms, in cosine."""
_GRAM = 3
_TEXTS = 10_000
"""Texts whose phrases are counted: the first ones."""
_VALUES = 2_000
"""Different languages, sources or licences that are told apart."""
_POINTS = 2_000
"""Points of the thresholds."""
_TOP = 12


class KeptPair(NamedTuple):
    """What is counted of a clean pair."""

    kind: str
    before: float | None
    """Score of the alt text."""
    after: float | None
    """Score of the best caption."""
    alt_text: str
    caption: str
    language: str
    source: str
    licence: str
    provenance: Provenance

    @classmethod
    def of(cls, pair: CleanPair) -> KeptPair:
        """What is counted of a record of pairs.clean."""
        best = pair.captions[0]
        return cls(
            kind=best.kind.value,
            before=pair.original_score,
            after=best.score,
            alt_text=pair.clean_text,
            caption=best.text,
            language=pair.detected_language or pair.language or "unknown",
            source=pair.source or "unknown",
            licence=pair.licence or "unknown",
            provenance=pair.provenance,
        )

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> KeptPair:
        """What is counted of a row of a shard's table."""
        return cls(
            kind=row["captions"][0]["kind"],
            before=row["original_score"],
            after=row["caption_score"],
            alt_text=row["clean_text"],
            caption=row["caption"],
            language=row["detected_language"] or row["language"] or "unknown",
            source=row["source"] or "unknown",
            licence=row["licence"] or "unknown",
            provenance=Provenance.model_validate_json(row["provenance"]),
        )


@dataclass
class Phrases:
    """Phrases of three words, of the first `_TEXTS` texts."""

    texts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    """Texts that hold each."""

    def add(self, text: str) -> None:
        """Count one text."""
        if self.texts < _TEXTS and (found := words(text)):
            self.texts += 1
            last = len(found) - _GRAM + 1
            self.counts.update({" ".join(found[at : at + _GRAM]) for at in range(max(0, last))})

    def numbers(self) -> dict[str, Any]:
        """Homogeneity is the mean share of the texts that hold a text's phrases."""
        held, texts = self.counts.total(), max(1, self.texts)
        squares = sum(count * count for count in self.counts.values())
        top = [(phrase, count) for phrase, count in self.counts.most_common(_TOP) if count > 1]
        return {
            "texts": self.texts,
            "homogeneity": round(squares / held / texts, 4) if held else None,
            "top": dict(top),
        }


@dataclass
class Census:
    """Counts of outcomes: clean pairs, rejections and dead letters."""

    clean: int = 0
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rejections by (stage, reason)."""
    dead: Counter[str] = field(default_factory=Counter)
    """Dead letters by stage."""
    kept: Counter[str] = field(default_factory=Counter)
    """Clean pairs by the kind of their best caption."""
    score_before: float = 0.0
    """Sum of the alt texts' scores, over `compared` pairs."""
    score_after: float = 0.0
    """Sum of the best captions' scores, over `compared` pairs."""
    captioners: CaptionerTotals = field(default_factory=CaptionerTotals)
    """What captioners took for clean and rejected pairs."""
    compared: int = 0
    """Clean pairs whose alt text has a score."""
    captioned: int = 0
    """Clean pairs, and rejections of select, that came through recaption."""
    before: Counter[int] = field(default_factory=Counter)
    """Scores of alt texts of clean pairs, by bars of `WIDTH`."""
    after: Counter[int] = field(default_factory=Counter)
    """Scores of best captions."""
    values: dict[str, Counter[str]] = field(default_factory=dict)
    """Clean pairs by `languages`, `sources` and `licences`."""
    thresholds: dict[tuple[str, str, int], float] = field(default_factory=dict)
    """Thresholds by stage, language and time in seconds since 1970-01-01 UTC."""
    alt_phrases: Phrases = field(default_factory=Phrases)
    caption_phrases: Phrases = field(default_factory=Phrases)
    _step_s: int = 1

    @property
    def total(self) -> int:
        """All outcomes, also second ones of the same input."""
        return self.clean + self.rejected.total() + self.dead.total()

    def count_clean(self, pair: KeptPair) -> None:
        """Count a clean pair."""
        self.clean += 1
        self.kept[pair.kind] += 1
        self.captioners.add(pair.provenance)
        if pair.before is not None and pair.after is not None:
            self.compared += 1
            self.score_before += pair.before
            self.score_after += pair.after
        for bars, score in ((self.before, pair.before), (self.after, pair.after)):
            if score is not None:
                bars[floor(round(score / WIDTH, 6))] += 1
        for name in ("language", "source", "licence"):
            counts = self.values.setdefault(f"{name}s", Counter())
            value = getattr(pair, name)
            counts[value if value in counts or len(counts) < _VALUES else "others"] += 1
        self.alt_phrases.add(pair.alt_text)
        if pair.kind not in (CaptionKind.ORIGINAL, CaptionKind.HUMAN):
            self.caption_phrases.add(pair.caption)
        self._trace(pair.provenance, pair.language)

    def count_rejected(self, stage: str, reason: str, provenance: Provenance) -> None:
        """Count a rejection; `provenance` is that of its record."""
        self.rejected[stage, reason] += 1
        self.captioners.add(provenance)
        self._trace(provenance, "unknown")

    def count_dead(self, stage: str) -> None:
        """Count a dead letter."""
        self.dead[stage] += 1

    def count(self, record: CleanPair | RejectedPair | DeadLetter) -> None:
        """Count a record of a terminal topic."""
        match record:
            case CleanPair():
                self.count_clean(KeptPair.of(record))
            case RejectedPair():
                took = provenance_of(record.record)
                self.count_rejected(record.stage, record.reason.value, took)
            case DeadLetter():
                self.count_dead(record.stage)

    def numbers(self) -> dict[str, Any]:
        """All counts as plain data. Scores are means over the pairs whose alt text has a score."""
        compared = max(1, self.compared)
        return {
            "clean": self.clean,
            "rejected": {
                f"{stage}.{reason}": count for (stage, reason), count in self.rejected.most_common()
            },
            "dead": dict(self.dead),
            "best_caption": dict(self.kept.most_common()),
            "score_before": round(self.score_before / compared, 4) if self.compared else None,
            "score_after": round(self.score_after / compared, 4) if self.compared else None,
            "captioners": self.captioners.summary(),
            "per_clean_pair": self.captioners.per_clean_pair(self.clean),
            "flow": self._flow(),
            "score_bars": {
                "width": WIDTH,
                "before": {f"{at * WIDTH:.2f}": self.before[at] for at in sorted(self.before)},
                "after": {f"{at * WIDTH:.2f}": self.after[at] for at in sorted(self.after)},
            },
            "thresholds": self._changes(),
            **{name: dict(counts.most_common()) for name, counts in self.values.items()},
            "phrases": {
                "alt_texts": self.alt_phrases.numbers(),
                "captions": self.caption_phrases.numbers(),
            },
        }

    def _flow(self) -> list[dict[str, Any]]:
        """What came to each stage, and what left it there. Select has no record of its own of what
        recaption passed on, so its part is counted by provenance."""
        here, flow = self.total, []
        for stage in STAGES:
            lost = {reason: n for (at, reason), n in self.rejected.most_common() if at == stage}
            came, gone = here, sum(lost.values()) + self.dead[stage]
            if stage == "recaption":
                came = self.captioned + gone
            here -= gone
            flow.append({"stage": stage, "came": came, "rejected": lost, "dead": self.dead[stage]})
        return flow

    def _trace(self, provenance: Provenance, language: str) -> None:
        for trace in provenance.stages:
            self.captioned += trace.stage == "recaption"
            if trace.threshold is not None and trace.stage in ("score", "select"):
                second = int(trace.finished_at.timestamp())
                place = (trace.stage, language, second // self._step_s * self._step_s)
                self.thresholds[place] = trace.threshold
        while len(self.thresholds) > _POINTS:
            self._step_s *= 2
            self.thresholds = {
                (stage, language, second // self._step_s * self._step_s): value
                for (stage, language, second), value in self.thresholds.items()
            }

    def _changes(self) -> list[dict[str, Any]]:
        """Each threshold where it changed, and its last point."""
        series: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for (stage, language, second), value in sorted(self.thresholds.items()):
            series.setdefault((stage, language), []).append((second, value))
        return [
            {
                "at": datetime.fromtimestamp(second, UTC).isoformat(),
                "stage": stage,
                "language": language,
                "threshold": round(value, 4),
            }
            for (stage, language), points in series.items()
            for at, (second, value) in enumerate(points)
            if at in (0, len(points) - 1) or points[at - 1][1] != value
        ]
