"""For Scrapy: a function that finds the images of a page, and a pipeline that publishes them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.errors import DeliveryError, PublishError, TooLargeError
from kaption.producers.options import PublisherOptions
from kaption.producers.publisher import Publisher
from kaption.producers.web import TdmRep, image_pairs
from kaption.producers.web.encoding import page_text
from kaption.schemas.faults import one_line

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

CLOSE_REASON = "kaption_not_delivered"

_log = logging.getLogger(__name__)


def image_items(
    response: Response, tdm_rep: TdmRep | None = None, agents: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yields one item for each image of an HTML page, with the page's opt-out signals.

    An item is a dictionary with the fields of RawPair, for `KaptionPipeline`; a spider may change
    it. A response that is not HTML has no items. `tdm_rep` is the site's tdmrep.json, if the spider
    has fetched it. `agents` are the spider's names (``mybot``): an opt-out that names another
    crawler is ignored.
    """
    from scrapy.http import HtmlResponse

    if not isinstance(response, HtmlResponse):
        return
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name in response.headers
        for value in response.headers.getlist(name)
    ]
    # Scrapy has no public name for an encoding that the spider chose; Scrapy's own `text` is not
    # taken, because it knows Python's codecs and not those of browsers.
    chosen = response._encoding
    declared = f"charset={chosen}" if chosen else dict(headers).get("Content-Type", "")
    yield from image_pairs(
        page_text(response.body, declared),
        response.url,
        headers=headers,
        tdm_rep=tdm_rep,
        agents=agents,
        fetched_at=datetime.now(UTC),
    )


class KaptionPipeline:
    """Publishes items that have `image` and `text` to pairs.raw; other items pass unchanged.

    Scrapy's settings:

    - `KAPTION_KAFKA` (required): the fields of KafkaConnection, at least `bootstrap`.
    - `KAPTION_SOURCE`: the `source` of items that have none; by default the spider's name.
    - `KAPTION_PUBLISHER`: `spool` and `store` of Publisher and the fields of PublisherOptions.
      `{"spool": "folder"}` keeps pairs on the disk while there is no broker, and
      `{"store": {"url": "s3://..."}}` takes large images.

    Pairs are published in threads. While Kafka does not keep up, items wait, Scrapy then holds
    responses back, and the reactor goes on. An item that is no valid pair is dropped, and Scrapy
    logs it. A string as `image` is a URL, never a path. If Kafka cannot be used, the spider is
    closed with the reason `kaption_not_delivered`. Every lost pair is logged. Scrapy's stats count
    items: `kaption/published`, `invalid`, `passed`, `not_delivered`.
    """

    def __init__(
        self, crawler: Crawler, source: str, open_publisher: Callable[[], Publisher]
    ) -> None:
        """`source` is that of items without one; `open_publisher` raises PublishError."""
        self._crawler = crawler
        self._source = source
        self._open_publisher = open_publisher
        self._publisher: Publisher | None = None
        self._given_up = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Raises ValueError if a setting is missing or wrong; pairs would otherwise be lost."""
        settings = crawler.settings
        if not settings.getdict("KAPTION_KAFKA").get("bootstrap"):
            raise ValueError('Scrapy setting KAPTION_KAFKA is missing: {"bootstrap": "kafka:9092"}')
        try:
            connection = KafkaConnection.model_validate(settings.getdict("KAPTION_KAFKA"))
        except ValidationError as error:
            told = one_line(error, "KafkaConnection", values=False)
            raise ValueError(f"Scrapy setting KAPTION_KAFKA: {told}") from error
        source = settings.get("KAPTION_SOURCE") or crawler.spidercls.name
        try:
            given = _publisher_arguments(settings.getdict("KAPTION_PUBLISHER"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Scrapy setting KAPTION_PUBLISHER: {error}") from error
        return cls(crawler, source, partial(Publisher, connection, **given))

    async def open_spider(self) -> None:
        """Connect. Raises PublishError if no broker answers."""
        from scrapy.utils.asyncio import run_in_thread

        self._publisher = await run_in_thread(self._open_publisher)

    async def process_item(self, item: Any) -> Any:
        """Publish an item; returns it for the next pipeline. Raises DropItem, PublishError."""
        from itemadapter import ItemAdapter
        from scrapy.exceptions import DropItem
        from scrapy.utils.asyncio import run_in_thread

        pair = ItemAdapter(item).asdict() if ItemAdapter.is_item(item) else {}
        if "image" not in pair or "text" not in pair:
            self._count("passed")
            return item
        if pair.get("source") is None:
            pair["source"] = self._source
        try:
            await run_in_thread(self._publish, pair)
        # TooLargeError is a PublishError too, but concerns this item alone.
        except (TooLargeError, ValueError, OSError) as error:
            self._count("invalid")
            raise DropItem(f"not a valid pair: {error}") from error
        except PublishError as error:
            self._count("not_delivered")
            self._give_up(error)
            raise
        self._count("published")
        return item

    async def close_spider(self) -> None:
        """Wait until Kafka has acknowledged everything; log and count what it has not."""
        from scrapy.utils.asyncio import run_in_thread

        if self._publisher is None:
            return
        try:
            await run_in_thread(self._publisher.close)
        except PublishError as error:
            self._report(error)

    def _publish(self, pair: dict[str, Any]) -> None:
        assert self._publisher is not None
        if self._given_up:
            raise PublishError("not published: the spider is closing; see the error above")
        self._publisher.publish(**pair)

    def _give_up(self, error: PublishError) -> None:
        from scrapy.utils.defer import deferred_from_coro

        if self._given_up:
            return
        self._given_up = True
        self._report(error)
        engine = self._crawler.engine
        if engine is not None and engine.running:
            # Not awaited: closing waits until this item is processed.
            closing = deferred_from_coro(engine.close_spider_async(reason=CLOSE_REASON))
            closing.addErrback(lambda failure: _log.error("closing failed: %s", failure))

    def _report(self, error: PublishError) -> None:
        _log.error("publishing failed: %s", error)
        for failure in error.failures if isinstance(error, DeliveryError) else ():
            self._count("not_delivered")
            key = (failure.message.key or b"").decode(errors="replace")
            _log.error("pair %s was not delivered: %s", key, failure.error)

    def _count(self, what: str) -> None:
        if self._crawler.stats is not None:
            self._crawler.stats.inc_value(f"kaption/{what}")


def _publisher_arguments(setting: dict[str, Any]) -> dict[str, Any]:
    """Arguments of Publisher from plain JSON values. Raises TypeError and ValueError."""
    given: dict[str, Any] = {}
    if "spool" in setting:
        given["spool"] = Path(setting["spool"])
    if "store" in setting:
        given["store"] = StoreConnection.model_validate(setting["store"])
    others = {name: value for name, value in setting.items() if name not in ("spool", "store")}
    known = [field.name for field in fields(PublisherOptions)]
    if unknown := sorted(set(others) - set(known)):
        raise ValueError(
            f"unknown {', '.join(unknown)}; known are spool, store, {', '.join(known)}"
        )
    return {**given, "options": PublisherOptions(**others)}
