"""Measures what web servers that do not answer cost the images of others, through whole ingest.

Good images of one server are ingested among the records of bad servers, among as many records of a
server that answers 404 at once, and alone, with a broker, Redis and a folder for a store. Measured
against the good images alone, the ratio holds what any refused record costs. Slow hosts give images
too, so beside stand as many hosts that give the same images at once. The time is from the worker's
first poll to the commit of the last good image. Outcomes leave in the order of offsets, so those
behind the first bad record wait until that record has its own: the longest standstill tells for how
long. All run in turns on one machine: compare the ratios.
"""

from __future__ import annotations

import argparse
import logging
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from unittest.mock import patch

from kafka import KafkaConsumer, KafkaProducer
from pydantic import SecretStr

from bench.bad_servers import (
    KINDS,
    bad_urls,
    blackhole,
    busy,
    drip,
    drip_body,
    look_up,
    quick,
    quiet,
    serve,
    serve_images,
    slow,
    stall,
    started,
)
from bench.fresh import fresh
from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.schemas import ImageSource, encode, headers_of
from kaption.schemas.topics import INGESTED, RAW
from kaption.testing.records import raw_pair
from kaption.workers.fetch import fetcher
from kaption.workers.local import Valkey
from kaption.workers.policy.ingest import FetchPolicy, IngestPolicy
from kaption.workers.settings import Settings
from kaption.workers.wiring import build_worker
from tools.servers import ApacheKafka

AIM = 1.05
GOOD = "http://127.0.0.1:"


def ingest(settings: Settings, urls: Sequence[str], good: int) -> list[float]:
    """Seconds until the commit of each good image, in the order in which they came.

    Slow hosts give images too. Those of the server that answers are told by its address.
    """
    own = fresh(settings)
    committed = KafkaConsumer(
        own.kafka.topic_prefix + INGESTED.name,
        bootstrap_servers=own.kafka.bootstrap,
        group_id=None,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = KafkaProducer(bootstrap_servers=own.kafka.bootstrap, linger_ms=20)
    for offset, url in enumerate(urls):
        record = raw_pair(offset, text=f"A red vase {offset}", image=ImageSource(url=url))
        key = record.pair_id.encode()
        topic = own.kafka.topic_prefix + RAW.name
        producer.send(topic, encode(record), key=key, headers=headers_of(record))
    producer.close()
    worker = build_worker("ingest", own)
    thread = Thread(target=worker.run)
    thread.start()
    while worker.not_ready() is not None and thread.is_alive():
        time.sleep(0.002)
    began, done = time.perf_counter(), list[float]()
    while len(done) < good:
        if not thread.is_alive():
            raise SystemExit("ingest stopped before it had processed all records")
        for records in committed.poll(timeout_ms=10).values():
            ours = sum(GOOD.encode() in record.value for record in records)
            done += [time.perf_counter() - began] * ours
    committed.close()
    worker.stop()
    worker.stop()
    thread.join()
    return done


def main() -> None:
    """Print a row for each kind of bad servers."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--good", type=int, default=1000, help="images of the server that answers")
    parser.add_argument("--bad", type=int, default=1000, help="URLs of those that do not")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds of each good answer")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    asking_us = partial(fetcher.Fetcher, look_up=look_up)
    with ExitStack() as stack:
        stack.enter_context(patch.object(fetcher, "Fetcher", asking_us))
        kafka = stack.enter_context(ApacheKafka(cache=Path.home() / ".cache" / "kaption"))
        valkey = stack.enter_context(Valkey())
        settings = Settings(
            kafka=KafkaConnection(bootstrap=kafka.bootstrap),
            redis=RedisConnection(url=SecretStr(valkey.url)),
            store=StoreConnection(url=stack.enter_context(TemporaryDirectory())),
            ingest=IngestPolicy(fetch=FetchPolicy(allow_networks=("127.0.0.0/8",))),
        )
        port = started(stack, serve_images, given.good, given.delay)
        acts = (quiet, drip, drip_body, stall, busy, slow, quick)
        ports = {act.__name__: started(stack, serve, act) for act in acts}
        ports |= {"good": port, "blackhole": blackhole(stack)}
        good = [f"{GOOD}{port}/{n}" for n in range(given.good)]
        ingest(settings, good[:200], 200)  # fills caches
        bad = {kind: bad_urls(kind, ports, given.bad) for kind in given.kinds}
        instead = {
            kind: bad_urls("quick-hosts" if kind == "slow-hosts" else "gone", ports, given.bad)
            for kind in given.kinds
        }
        _rows(settings, good, instead, bad)


def _rows(
    settings: Settings,
    good: Sequence[str],
    instead: dict[str, list[str]],
    bad: dict[str, list[str]],
) -> None:
    alone = ingest(settings, good, len(good))
    print(f"{'alone':>10}: {_time(alone)}", flush=True)
    for kind, urls in bad.items():
        beside, among = (
            ingest(settings, random.Random(7).sample(mixed, len(mixed)), len(good))
            for mixed in ([*good, *instead[kind]], [*good, *urls])
        )
        later = statistics.mean(among) - statistics.mean(beside)
        still = max(after - before for before, after in zip([0.0, *among], among, strict=False))
        ratio, to_alone = among[-1] / beside[-1], among[-1] / alone[-1]
        print(
            f"{kind:>10}: beside {_time(beside)}, among bad {_time(among)}, "
            f"ratio {ratio:.3f} (aim {AIM}), to alone {to_alone:.3f}; "
            f"each image {later:+.1f} s on average, longest standstill {still:.1f} s",
            flush=True,
        )


def _time(done: Sequence[float]) -> str:
    return f"{done[-1]:6.1f} s ({len(done) / done[-1]:.1f}/s)"


if __name__ == "__main__":
    main()
