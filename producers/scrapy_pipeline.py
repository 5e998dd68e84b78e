"""Scrapy: what a spider calls to find a page's images, and the pipeline that publishes them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from kaption.connections.settings import KafkaConnection, StoreConnection
from kaption.producers.errors import DeliveryError, PublishError, TooLargeError
from kaption.producers.image import is_url
from kaption.producers.publisher import Publisher
from kaption.producers.web import TdmRep, image_pairs

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

CLOSE_REASON = "kaption_not_delivered"

_log = logging.getLogger(__name__)


def image_items(
    response: Response, tdm_rep: TdmRep | None = None, agents: Iterable[str] = ()
) -> Iterator[dict[str, Any]]:
    """An item for each image of a page, opt-out signals included; none where it is no HTML.

    Items are dictionaries with the fields of RawPair, for `KaptionPipeline`; a spider may change
    them. `tdm_rep` is the site's file, where the spider has fetched it; `agents` are the names that
    the spider goes by (``mybot``): opt-outs for other crawlers are no signals.
    """
    from scrapy.http import HtmlResponse

    if not isinstance(response, HtmlResponse):
        return
    headers = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name in response.headers
        for value in response.headers.getlist(name)
    ]
    yield from image_pairs(
        response.text,
        response.url,
        headers=headers,
        tdm_rep=tdm_rep,
        agents=agents,
        fetched_at=datetime.now(UTC),
    )


class KaptionPipeline:
    """Publishes items that have `image` and `text` to pairs.raw; others pass untouched.

    Scrapy's settings:

    - `KAPTION_KAFKA`: fields of KafkaConnection, at least `bootstrap`; required.
    - `KAPTION_SOURCE`: `source` of items that have none; the spider's name, if not set.
    - `KAPTION_PUBLISHER`: other arguments of Publisher: `{"spool": "folder"}` keeps pairs on the
      disk while there is no broker, `{"store": {"url": "s3://..."}}` takes large images.

    Publishing runs in threads: while Kafka does not keep up, items wait, then responses, and the
    reactor goes on. An item that is no valid pair is dropped, and Scrapy logs it; a string as its
    `image` is a URL, never a path. Where Kafka cannot be used the spider is closed, reason
    `kaption_not_delivered`; every pair that is lost is logged. Stats: `kaption/published`,
    `invalid`, `passed`, `not_delivered`.
    """

    def __init__(
        self, crawler: Crawler, connection: KafkaConnection, source: str, options: dict[str, Any]
    ) -> None:
        self._crawler = crawler
        self._connection = connection
        self._source = source
        self._options = options
        self._publisher: Publisher | None = None
        self._given_up = False

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Raises ValueError where a setting is missing or wrong: pairs would be lost silently."""
        settings = crawler.settings
        if not settings.getdict("KAPTION_KAFKA").get("bootstrap"):
            raise ValueError('Scrapy setting KAPTION_KAFKA is missing: {"bootstrap": "kafka:9092"}')
        try:
            connection = KafkaConnection(**settings.getdict("KAPTION_KAFKA"))
        except ValidationError as error:
            raise ValueError(f"Scrapy setting KAPTION_KAFKA: {error}") from error
        options = settings.getdict("KAPTION_PUBLISHER")
        # Settings hold plain values, on the command line JSON.
        if "spool" in options:
            options["spool"] = Path(options["spool"])
        if "store" in options:
            options["store"] = StoreConnection(**options["store"])
        source = settings.get("KAPTION_SOURCE") or crawler.spidercls.name
        return cls(crawler, connection, source, options)

    async def open_spider(self) -> None:
        """Connect. Raises PublishError where no broker answers."""
        from scrapy.utils.asyncio import run_in_thread

        self._publisher = await run_in_thread(Publisher, self._connection, **self._options)

    async def process_item(self, item: Any) -> Any:
        """The item, published. Raises DropItem or PublishError."""
        from itemadapter import ItemAdapter
        from scrapy.exceptions import DropItem
        from scrapy.utils.asyncio import run_in_thread

        fields = ItemAdapter(item).asdict() if ItemAdapter.is_item(item) else {}
        if "image" not in fields or "text" not in fields:
            self._count("passed")
            return item
        if fields.get("source") is None:
            fields["source"] = self._source
        try:
            await run_in_thread(self._publish, fields)
        # One that is too large is both: another item may still be published.
        except (TooLargeError, ValueError, OSError) as error:
            self._count("invalid")
            raise DropItem(f"no valid pair: {error}") from error
        except PublishError as error:
            self._count("not_delivered")
            self._give_up(error)
            raise
        self._count("published")
        return item

    async def close_spider(self) -> None:
        """Wait until everything is acknowledged; what is not is logged and counted."""
        from scrapy.utils.asyncio import run_in_thread

        if self._publisher is None:
            return
        try:
            await run_in_thread(self._publisher.close)
        except PublishError as error:
            self._report(error)

    def _publish(self, fields: dict[str, Any]) -> None:
        assert self._publisher is not None
        if self._given_up:
            raise PublishError("not published: the spider is being closed, see the log above")
        image = fields["image"]
        if isinstance(image, str) and not is_url(image):
            # A path is not read: items come from strangers' pages.
            raise ValueError(
                f"image {image[:200]!r} is no URL; a file of your own is given as a pathlib.Path"
            )
        self._publisher.publish(**fields)

    def _give_up(self, error: PublishError) -> None:
        from scrapy.utils.defer import deferred_from_coro

        if self._given_up:
            return
        self._given_up = True
        self._report(error)
        engine = self._crawler.engine
        if engine is not None and engine.running:
            # Not awaited: closing waits for the item that is being processed here.
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
