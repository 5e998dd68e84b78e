"""A real Scrapy crawl of a small site: what the pages say is what arrives in pairs.raw."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kaption.connections.settings import KafkaConnection
from kaption.consumers.topic.reader import TopicReader
from kaption.producers import pair_id
from kaption.schemas import ImageSource, OptOutSignal, RawPair
from kaption.schemas.topics import RAW
from kaption.workers.local import Tansu
from support.topics import with_topics

PIPELINE = "kaption.producers.scrapy_pipeline.KaptionPipeline"
SPIDER = Path(__file__).parents[2] / "examples" / "scrapy_spider.py"
TOPIC = replace(RAW, partitions=2)
CC_BY = "https://creativecommons.org/licenses/by/4.0/"
PAGES = {
    "/": """<html lang="en"><head><title>Shop</title></head><body>
        <figure><img data-src="img/mug.jpg" src="data:image/gif;base64,R0lGODlhAQABAAAAACw="
          alt="A blue mug"><figcaption>Mug, 12 cm</figcaption></figure>
        <img src="/pixel.gif" width="1" height="1" alt="counter">
        <a href="/closed">closed</a> <a href="/reserved">reserved</a>
        <a href="/private/page">private</a> <a href="/print.pdf">print</a></body></html>""",
    "/closed": """<html lang="de"><head><meta name="robots" content="noai, noimageai"></head>
        <body><img srcset="/s.jpg 300w, /l.jpg 900w" alt="Ein Krug">
        <a rel="license" href="https://creativecommons.org/licenses/by/4.0/">CC</a></body></html>""",
    "/reserved": '<html><body><img src="teapot.jpg" title="A teapot"></body></html>',
    "/private/page": '<html><body><img src="secret.jpg" alt="Not for crawlers"></body></html>',
    "/robots.txt": "User-agent: *\nDisallow: /private/",
    "/print.pdf": "%PDF-1.7",
}
HEADERS = {
    "/reserved": [("X-Robots-Tag", "noml, gptbot: noai"), ("tdm-reservation", "1")],
    "/print.pdf": [("Content-Type", "application/pdf")],
    "/robots.txt": [("Content-Type", "text/plain")],
}


class _Site(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGES.get(self.path)
        self.send_response(404 if body is None else 200)
        headers = dict(HEADERS.get(self.path, []))
        for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def connection(tansu: Tansu, topic_prefix: str) -> KafkaConnection:
    return with_topics(tansu.bootstrap, topic_prefix, [TOPIC])


def crawl(folder: Path, spider: str | Path, *arguments: str, **settings: object) -> str:
    """Run a spider's file as `scrapy runspider` does, in a process of its own; returns its log."""
    if isinstance(spider, str):
        (folder / "spider.py").write_text(spider)
        spider = folder / "spider.py"
    command = [sys.executable, "-m", "scrapy", "runspider", str(spider), *arguments]
    for name, value in {"TELNETCONSOLE_ENABLED": False, **settings}.items():
        text = json.dumps(value) if isinstance(value, dict) else str(value)
        command += ["-s", f"{name}={text}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    return done.stderr


def kafka(connection: KafkaConnection) -> dict[str, str]:
    return {"bootstrap": connection.bootstrap, "topic_prefix": connection.topic_prefix}


def published(connection: KafkaConnection) -> list[RawPair]:
    with TopicReader(connection, [TOPIC]) as reader:
        return [read.record for read in reader if isinstance(read.record, RawPair)]


def test_a_crawl_publishes_what_the_site_says(
    connection: KafkaConnection, site: str, tmp_path: Path
) -> None:
    log = crawl(tmp_path, SPIDER, "-a", f"start={site}/", KAPTION_KAFKA=kafka(connection))

    pairs = {pair.text: pair for pair in published(connection)}
    assert set(pairs) == {"A blue mug", "Ein Krug", "A teapot"}, log
    mug, krug, teapot = (pairs[text] for text in ("A blue mug", "Ein Krug", "A teapot"))
    assert (mug.image.url, mug.page_url, mug.language) == (f"{site}/img/mug.jpg", f"{site}/", "en")
    assert mug.extra["texts"] == {"alt": "A blue mug", "figcaption": "Mug, 12 cm"}
    assert (krug.image.url, krug.licence, krug.language) == (f"{site}/l.jpg", CC_BY, "de")
    assert (mug.opt_out, mug.licence) == ((), None)
    assert krug.opt_out == (OptOutSignal(kind="robots_meta", value="noai, noimageai"),)
    assert teapot.opt_out == (
        OptOutSignal(kind="x_robots_tag", value="noml"),
        OptOutSignal(kind="tdm_reservation", value="1"),
    )
    assert all(pair.source == "my-crawl" and pair.fetched_at for pair in pairs.values())
    assert mug.pair_id == pair_id("my-crawl", mug.page_url, mug.image)
    assert "'kaption/published': 3" in log


ITEMS = """
from pathlib import Path
from scrapy import Spider
import kaption.producers.scrapy_pipeline
from kaption.producers import BufferFullError, DeliveryError, Failure, Message
from kaption.schemas import ImageSource, RawPair

class Items(Spider):
    name = "items"
    custom_settings = {"ITEM_PIPELINES": {"kaption.producers.scrapy_pipeline.KaptionPipeline": 800}}

    async def start(self):
        for item in self.items():
            yield item
"""


def test_bad_items_are_dropped_and_others_pass(connection: KafkaConnection, tmp_path: Path) -> None:
    # Given items of all kinds, among them an image as bytes and a whole record
    spider = f"""{ITEMS}
    def items(self):
        yield {{"image": b"\\x00\\x01", "text": "bytes"}}
        yield RawPair(pair_id="mine", image=ImageSource(url="http://e.org/1.jpg"), text="record")
        yield {{"image": {{"url": 7}}, "text": "no address"}}
        yield {{"image": bytes(5 * 1024 * 1024), "text": "too large"}}
        yield {{"price": 12}}
"""
    # When they are crawled
    log = crawl(tmp_path, spider, KAPTION_KAFKA=kafka(connection))
    # Then the good ones are published, the bad ones dropped with a reason
    found = {pair.text: pair for pair in published(connection)}
    assert set(found) == {"bytes", "record"}, log
    assert found["bytes"].image == ImageSource(inline=b"\x00\x01")
    assert found["record"].pair_id == "mine"
    assert {pair.source for pair in found.values()} == {"items"}
    assert "'kaption/invalid': 2" in log
    assert "'kaption/passed': 1" in log
    assert "Input should be a valid string" in log
    assert "an inline image at most" in log


def test_a_page_cannot_have_a_file_published(connection: KafkaConnection, tmp_path: Path) -> None:
    # Given an item with what a page says is its image, and one with the spider's own file
    own = tmp_path / "own.jpg"
    own.write_bytes(b"own")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    spider = f"""{ITEMS}
    def items(self):
        yield {{"image": {str(secret)!r}, "text": "the page's"}}
        yield {{"image": Path({str(own)!r}), "text": "the spider's"}}
"""
    # When they are crawled
    log = crawl(tmp_path, spider, KAPTION_KAFKA=kafka(connection))
    # Then the first is dropped with a reason
    (pair,) = published(connection)
    assert (pair.text, pair.image.inline) == ("the spider's", b"own"), log
    assert "is not a URL" in log
    assert "'kaption/invalid': 1" in log


def test_a_crawl_ends_where_kafka_takes_no_more(
    connection: KafkaConnection, site: str, tmp_path: Path
) -> None:
    # Given a publisher whose buffer is full, and a spider that would never end
    spider = f"""
from scrapy import Spider
import kaption.producers.scrapy_pipeline
from kaption.producers import BufferFullError

class Endless(Spider):
    name = "endless"
    custom_settings = {{"ITEM_PIPELINES": {{"{PIPELINE}": 800}}}}
    start_urls = ["{site}/"]

    def parse(self, response):
        yield from kaption.producers.scrapy_pipeline.image_items(response)
        yield response.follow("/", dont_filter=True)

class Full(kaption.producers.scrapy_pipeline.Publisher):
    def publish(self, **fields):
        raise BufferFullError("nothing moves")

kaption.producers.scrapy_pipeline.Publisher = Full
"""
    # When it crawls
    log = crawl(tmp_path, spider, KAPTION_KAFKA=kafka(connection))
    # Then it ends by itself and says why
    assert "Spider closed (kaption_not_delivered)" in log
    assert "nothing moves" in log


def test_what_is_not_delivered_at_the_end_is_named(
    connection: KafkaConnection, tmp_path: Path
) -> None:
    spider = f"""{ITEMS}
    def items(self):
        yield {{"image": "http://e.org/1.jpg", "text": "x"}}

class Losing(kaption.producers.scrapy_pipeline.Publisher):
    def close(self):
        super().close()
        raise DeliveryError([Failure(Message(b"", b"pair-7"), TimeoutError("no answer"))])

kaption.producers.scrapy_pipeline.Publisher = Losing
"""
    log = crawl(tmp_path, spider, KAPTION_KAFKA=kafka(connection))

    assert "pair pair-7 was not delivered: no answer" in log
    assert "'kaption/not_delivered': 1" in log


def test_with_a_spool_a_crawl_needs_no_broker(
    connection: KafkaConnection, site: str, tmp_path: Path
) -> None:
    # Given a crawl while no broker is there
    limits = ("connect_timeout_s", "delivery_timeout_s", "close_timeout_s")
    spool: dict[str, object] = {"spool": "spool", **dict.fromkeys(limits, 1)}
    start = ("-a", f"start={site}/")
    away = kafka(connection) | {"bootstrap": "127.0.0.1:9"}
    log = crawl(tmp_path, SPIDER, *start, KAPTION_KAFKA=away, KAPTION_PUBLISHER=spool)
    assert "records wait in the spool" in log
    # When the next one finds the broker
    spool |= dict.fromkeys(limits, 60)
    nothing = ("-a", f"start={site}/nowhere")
    crawl(tmp_path, SPIDER, *nothing, KAPTION_KAFKA=kafka(connection), KAPTION_PUBLISHER=spool)
    # Then what the first one found is published
    texts = {pair.text for pair in published(connection)}
    assert texts == {"A blue mug", "Ein Krug", "A teapot"}, log


def test_a_crawl_does_not_begin_without_a_broker(site: str, tmp_path: Path) -> None:
    nowhere = {"bootstrap": "127.0.0.1:9"}
    log = crawl(
        tmp_path,
        SPIDER,
        "-a",
        f"start={site}/",
        KAPTION_KAFKA=nowhere,
        KAPTION_PUBLISHER={"connect_timeout_s": 1},
    )

    assert "no broker answers at 127.0.0.1:9" in log
    assert "GET" not in log


@pytest.mark.parametrize("setting", [{}, {"bootstrap": "h:1", "server": "x"}])
def test_a_wrong_setting_ends_the_crawl_at_once(
    setting: dict[str, str], site: str, tmp_path: Path
) -> None:
    log = crawl(tmp_path, SPIDER, "-a", f"start={site}/", KAPTION_KAFKA=setting)

    assert "KAPTION_KAFKA" in log
    assert "GET" not in log


def test_a_wrong_option_of_the_publisher_ends_the_crawl_at_once(site: str, tmp_path: Path) -> None:
    log = crawl(
        tmp_path,
        SPIDER,
        "-a",
        f"start={site}/",
        KAPTION_KAFKA={"bootstrap": "127.0.0.1:9"},
        KAPTION_PUBLISHER={"patience": 1},
    )

    assert "KAPTION_PUBLISHER: unknown patience; known are spool, store, buffer_bytes" in log
    assert "GET" not in log
