"""What captioners took for a number of pairs, and for each clean one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from rich.table import Table

from kaption.schemas import CaptionerResult, Provenance

_AMOUNTS = ("model_seconds", "input_tokens", "output_tokens", "cost")


@dataclass
class CaptionerTotals:
    """Sums over pairs, by captioner."""

    results: dict[str, Counter[str]] = field(default_factory=dict)
    """Pairs by what the captioner did: see `CaptionerResult`."""
    amounts: dict[str, Counter[str]] = field(default_factory=dict)
    """Seconds, tokens and cost."""

    def add(self, provenance: Provenance) -> None:
        """Count one pair."""
        for trace in provenance.stages:
            for use in trace.captioners:
                self.results.setdefault(use.captioner, Counter())[use.result.value] += 1
                amounts = self.amounts.setdefault(use.captioner, Counter())
                amounts.update({name: getattr(use, name) for name in _AMOUNTS})

    def sum(self) -> dict[str, float]:
        """Seconds, tokens and cost of all captioners together."""
        amounts = Counter[str]()
        for each in self.amounts.values():
            amounts.update(each)
        return {name: amounts[name] for name in _AMOUNTS}

    def summary(self) -> dict[str, dict[str, float]]:
        """Results and amounts as plain data, by captioner."""
        return {
            name: {result.value: counts[result.value] for result in CaptionerResult}
            | {each: _short(self.amounts[name][each]) for each in _AMOUNTS}
            for name, counts in self.results.items()
        }

    def per_clean_pair(self, clean: int) -> dict[str, float] | None:
        """What all captioners took, for each clean pair; None without any."""
        if not clean or not self.results:
            return None
        return {name: _short(value / clean) for name, value in self.sum().items()}

    def table(self, clean: int) -> Table:
        """For people."""
        words = [result.value.replace("_", " ") for result in CaptionerResult]
        head = ("captioner", *words, "model s", "tokens in", "tokens out", "cost")
        table = Table(*head, box=None, pad_edge=False)
        table.columns[0].no_wrap = True
        for column in table.columns[1:]:
            column.justify = "right"
        for name, found in self.summary().items():
            table.add_row(name, *map(written, found.values()))
        if (each := self.per_clean_pair(clean)) is not None:
            table.add_row("a clean pair", *[""] * len(words), *map(written, each.values()))
        return table


def provenance_of(record: Mapping[str, Any]) -> Provenance:
    """The provenance in a record as JSON; empty where there is none that can be read."""
    try:
        return Provenance.model_validate(record.get("provenance") or {})
    except ValidationError:
        return Provenance()


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.6g}")


def written(value: float) -> str:
    """A number for people, who read no exponents."""
    if isinstance(value, int) or value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if value >= 0.001 or not value else f"{value:.6f}"
