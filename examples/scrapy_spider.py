"""Publishes every image of a site, with its text, to Kafka.

scrapy runspider scrapy_spider.py -a start=https://example.org/
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from scrapy import Spider
from scrapy.http import HtmlResponse, Response

from kaption.producers.scrapy_pipeline import image_items


class ImagesSpider(Spider):
    """Visits every page of one site."""

    name = "images"
    custom_settings = {  # noqa: RUF012 - Scrapy's own way to write it
        "ROBOTSTXT_OBEY": True,
        "ITEM_PIPELINES": {"kaption.producers.scrapy_pipeline.KaptionPipeline": 800},
        "KAPTION_KAFKA": {"bootstrap": "kafka:9092"},
        "KAPTION_SOURCE": "my-crawl",
    }

    def __init__(self, start: str) -> None:
        super().__init__()
        self.start_urls = [start]
        self.allowed_domains = [urlsplit(start).hostname or ""]

    def parse(self, response: Response) -> Iterator[Any]:
        """Yield the images of the page, then the pages that it links to."""
        if isinstance(response, HtmlResponse):
            yield from image_items(response)
            yield from response.follow_all(css="a[href]")
