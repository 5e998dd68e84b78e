"""What captioners take: counted for each captioner, and held against the daily budget."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from kaption.schemas import Caption, CaptionerResult, CaptionerUse
from kaption.workers.captioners.captioner import Captioner, Spend
from kaption.workers.stores.budget import BudgetPart, DailyBudget

if TYPE_CHECKING:
    Ask = Callable[[], list[tuple[Caption, ...]]]

_log = logging.getLogger(__name__)
IMAGES = Counter(
    "kaption_captioner_images_total",
    "Images by what a captioner did: asked, cached, not_needed (another one reached the bar), "
    "over_budget. Many asked of a large captioner: lower recaption.bar.",
    ("captioner", "result"),
)
SECONDS = Counter(
    "kaption_captioner_seconds_total",
    "Seconds in which a captioner worked on batches. Near the time that passes: it is the limit of "
    "the stage, so add replicas or raise recaption.batch_records.",
    ("captioner",),
)
TOKENS = Counter(
    "kaption_captioner_tokens_total",
    "Tokens that a captioner counted, by direction: input, output. Much input for each image: "
    "lower recaption.openai.longest_side.",
    ("captioner", "direction"),
)
COST = Counter(
    "kaption_captioner_cost_total",
    "Cost of tokens and seconds, in the currency of the prices in the settings. Rising too fast: "
    "lower score.good_score or recaption.bar, or set recaption.daily_budget.",
    ("captioner",),
)
USED_UP = Gauge(
    "kaption_captioner_budget_used_up",
    "1 while recaption.daily_budget is used up, until midnight UTC: rules alone write captions. "
    "It is 1 early in the day: raise the budget, or lower what is spent.",
    ("stage",),
)


class Spending:
    """Asks captioners under a budget, and counts what they take. Called by one thread."""

    def __init__(self, budget: DailyBudget | None) -> None:
        """`budget` grants images to captioners; None grants all of them."""
        self._budget = budget
        self._told: date | None = None
        gauge = USED_UP.labels("recaption")
        gauge.set_function(budget.used_up if budget else lambda: False)

    def reserve(self, name: str, images: int) -> BudgetPart | None:
        """What the budget grants of a batch; None where nothing limits it. Raises Retry."""
        if self._budget is None:
            return None
        grant = self._budget.reserve(name, images)
        told = {"captioner": name, "limits": dict(self._budget.limits)}
        if grant.images < images and self._told != grant.day:
            self._told = grant.day
            _log.warning(
                "the daily budget of the captioners is used up: until midnight UTC rules alone"
                " write captions. Raise recaption.daily_budget to go on",
                extra=told,
            )
        elif self._told is not None and self._told != grant.day:
            self._told = None
            _log.info("a new day: captioners are asked again", extra=told)
        return grant

    def asked(
        self, captioner: Captioner, ask: Ask, images: int, grant: BudgetPart | None
    ) -> list[tuple[tuple[Caption, ...], CaptionerUse]]:
        """What `ask` answers, with what it took for each image. Raises what `ask` raises."""
        began = time.perf_counter()
        try:
            answers = ask()
        except BaseException:
            self._settle(grant, [])
            raise
        share = (time.perf_counter() - began) / images
        name = captioner.name
        price = share * getattr(captioner, "second_price", 0.0)
        spent: Sequence[Spend] = getattr(captioner, "spent", None) or [Spend()] * images
        uses = [
            CaptionerUse(
                captioner=name,
                result=CaptionerResult.ASKED,
                model_seconds=share,
                input_tokens=each.input_tokens,
                output_tokens=each.output_tokens,
                cost=each.cost + price,
            )
            for each in spent
        ]
        self._settle(grant, uses)
        SECONDS.labels(name).inc(share * images)
        TOKENS.labels(name, "input").inc(sum(use.input_tokens for use in uses))
        TOKENS.labels(name, "output").inc(sum(use.output_tokens for use in uses))
        COST.labels(name).inc(sum(use.cost for use in uses))
        return list(zip(answers, uses, strict=True))

    def flush(self) -> None:
        """Tell Redis what was taken. Raises Retry; what was taken is kept for the next call."""
        if self._budget is not None:
            self._budget.flush()

    def _settle(self, grant: BudgetPart | None, uses: Sequence[CaptionerUse]) -> None:
        if self._budget is not None and grant is not None:
            took = {
                "cost": sum(use.cost for use in uses),
                "tokens": sum(use.input_tokens + use.output_tokens for use in uses),
                "model_seconds": sum(use.model_seconds for use in uses),
            }
            self._budget.settle(grant, len(uses), took)
