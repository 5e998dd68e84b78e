"""`kaption crawl` publishes a rendered crawl for a pipeline that runs elsewhere."""

import os
import signal
import subprocess
import urllib.request

from kaption.workers.local import Tansu
from kaption.workers.local.server import free_ports
from support.program import PROGRAM
from support.publishing import published_pairs, with_topic
from support.topics import environment

PAIRS = 30


def test_a_crawl_publishes_pairs_and_serves_images_until_it_is_stopped(
    tansu: Tansu, topic_prefix: str
) -> None:
    # Given a topic, and the host name under which ingest reaches the site
    kafka = with_topic(tansu.bootstrap, topic_prefix)
    settings = environment(kafka)
    (port,) = free_ports(1)
    command = [PROGRAM, "crawl", "--pairs", f"{PAIRS}", "--port", f"{port}", "--url", "http://site"]
    # When a crawl starts
    with subprocess.Popen(
        command, env=os.environ | settings, stderr=subprocess.PIPE, text=True
    ) as crawl:
        assert crawl.stderr is not None
        said = crawl.stderr.readline()
        # Then all its pairs are in the topic, and the site serves their images
        pairs = published_pairs(kafka)
        paths = [pair.image.url.removeprefix("http://site") for pair in pairs if pair.image.url]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{paths[0]}", timeout=10) as image:
            served = image.read()
        # And it ends when it is asked to
        crawl.send_signal(signal.SIGINT)
        assert crawl.wait(30) == 0
    assert f"{PAIRS} pairs published" in said
    assert len(pairs) == PAIRS
    assert len(paths) > PAIRS / 2
    assert served
