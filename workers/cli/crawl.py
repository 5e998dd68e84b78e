"""`kaption crawl`: the demo's crawl for workers of another process or machine."""

from __future__ import annotations

from threading import Event
from typing import Annotated

import typer
from rich.console import Console

from kaption.producers import Publisher
from kaption.workers.cli.common import Config, check_kafka, on_stop
from kaption.workers.settings import load_settings


def command(
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve on; 0 takes a free one.")
    ] = 0,
    url: Annotated[
        str | None, typer.Option(help="Address of the site for ingest. Default: http://HOST:PORT.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Number of pairs.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed renders the same crawl.")] = 1,
    config: Config = None,
) -> None:
    """Render the demo's crawl, publish its pairs, and serve its images until stopped.

    Ingest fetches the images only if ingest.fetch.allow_networks holds the
    network of the site.
    """
    from kaption.workers.demo.crawl import Crawl
    from kaption.workers.demo.site import Site

    console = Console(stderr=True, highlight=False)
    stopping = Event()
    settings = load_settings(config)
    # The Publisher waits for a broker for longer than a person at a terminal does.
    check_kafka(settings)
    with console.status(f"rendering a crawl of {pairs} pairs"):
        crawl = Crawl(seed, pairs)
    with Site(crawl.pages, host, port) as site:
        at = (url or site.url).rstrip("/")
        with Publisher(settings.kafka) as publisher:
            for record in crawl.records(at):
                publisher.publish(record)
        on_stop(stopping.set)
        console.print(f"{pairs} pairs published; their images are at {at}", soft_wrap=True)
        stopping.wait()
