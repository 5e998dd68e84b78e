"""Compares score, recaption and select with a bare model loop: `python -m bench.stages`.

The stages use Kafka, Redis and the blob store. Both sides of a row open the same images and give
them to the same model in batches of the same size. The bare loop has no broker, no cache, no
provenance, no checks and no outputs. Both sides run in turns, on fresh topics and an empty cache,
and the ratio is that of their medians. The processor time is that of this process, without Kafka
and Redis.
"""

from __future__ import annotations

import argparse
import io
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import numpy as np
from kafka import KafkaProducer
from PIL import Image
from pydantic import SecretStr

from bench.fresh import fresh
from kaption.connections.settings import KafkaConnection, RedisConnection, StoreConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import (
    BlobRef,
    CaptionedPair,
    Topic,
    encode,
    headers_of,
)
from kaption.schemas.topics import CAPTIONED, INGESTED, SCORED
from kaption.testing.records import captioned_pair, image_ref
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.local import Valkey
from kaption.workers.models.open_clip import build
from kaption.workers.models.windows import score_texts
from kaption.workers.plugins import load_captioners
from kaption.workers.policy.select import SelectPolicy
from kaption.workers.settings import Settings
from kaption.workers.stages.images import open_stored
from kaption.workers.wiring import build_worker
from tools.servers import ApacheKafka

_SIDE = (384, 512)
_TEXT = "a large striped red circle and a small plain blue square on a wooden table"
_CANDIDATES = ("a red circle and a blue square", "a blue square on a table", "a striped red circle")


def main() -> None:
    """Print a row for each stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--score", type=int, default=1024, help="images for score")
    parser.add_argument("--recaption", type=int, default=256, help="images for recaption")
    parser.add_argument("--select", type=int, default=1024, help="images for select")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    cache = Path.home() / ".cache" / "kaption"
    with ApacheKafka(cache=cache) as kafka, Valkey() as valkey, TemporaryDirectory() as folder:
        settings = Settings(
            models="demo",
            kafka=KafkaConnection(bootstrap=kafka.bootstrap),
            redis=RedisConnection(url=SecretStr(valkey.url)),
            store=StoreConnection(url=folder),
            select=SelectPolicy(min_score=-1.0),
        )
        blobs = BlobStore(FolderStore(Path(folder)))
        most = max(given.score, given.recaption, given.select)
        pairs = [_pair(blobs, number) for number in range(most)]
        score, recaption = pairs[: given.score], pairs[: given.recaption]
        batch = settings.score.batch_records
        bare = _bare_score(settings, blobs, score, batch)
        _row("score", bare, settings, INGESTED, score, batch, given.rounds)
        batch = settings.recaption.batch_records
        bare = _bare_recaption(settings, blobs, recaption, batch)
        _row("recaption", bare, settings, SCORED, recaption, batch, given.rounds)
        select, batch = pairs[: given.select], settings.select.batch_records
        bare = _bare_score(settings, blobs, select, batch, _CANDIDATES)
        _row("select", bare, settings, CAPTIONED, select, batch, given.rounds)


def _bare_score(
    settings: Settings,
    blobs: BlobStore,
    pairs: Sequence[CaptionedPair],
    batch: int,
    candidates: Sequence[str] = (),
) -> Callable[[], None]:
    scorer = build(settings.clip)

    def loop() -> None:
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            pixels = [scorer.preprocess(open_stored(blobs, pair.image)) for pair in part]
            images = scorer.encode_images(pixels)
            texts = [text for pair in part for text in (pair.clean_text, *candidates)]
            score_texts(scorer, texts, images.repeat(1 + len(candidates), axis=0))

    return loop


def _bare_recaption(
    settings: Settings, blobs: BlobStore, pairs: Sequence[CaptionedPair], batch: int
) -> Callable[[], None]:
    captioners = load_captioners(settings.recaption)

    def loop() -> None:
        for start in range(0, len(pairs), batch):
            part = pairs[start : start + batch]
            images = [open_stored(blobs, pair.image) for pair in part]
            contexts = [CaptionContext(pair.clean_text) for pair in part]
            for captioner in captioners:
                captioner.caption(images if captioner.uses_images else [], contexts)

    return loop


def _row(
    stage: str,
    bare: Callable[[], None],
    settings: Settings,
    topic: Topic,
    pairs: Sequence[CaptionedPair],
    batch: int,
    rounds: int,
) -> None:
    bare()
    taken: dict[str, list[float]] = {"bare": [], "stage": []}
    busy: dict[str, list[float]] = {"bare": [], "stage": []}
    for _ in range(rounds):
        began, worked = time.perf_counter(), time.process_time()
        bare()
        taken["bare"].append(time.perf_counter() - began)
        busy["bare"].append(time.process_time() - worked)
        seconds, processor_s = _through_kafka(stage, settings, topic, pairs)
        taken["stage"].append(seconds)
        busy["stage"].append(processor_s)
    alone, through = (statistics.median(seconds) for seconds in taken.values())
    least, most = (1e3 * statistics.median(each) / len(pairs) for each in busy.values())
    print(
        f"{stage}, batch {batch}: stage/bare = {alone / through:.2f}   "
        f"{len(pairs) / through:.0f} vs {len(pairs) / alone:.0f} images/s, "
        f"{most:.2f} vs {least:.2f} ms of processor time a pair",
        flush=True,
    )


def _through_kafka(
    stage: str, settings: Settings, topic: Topic, pairs: Sequence[CaptionedPair]
) -> tuple[float, float]:
    """Seconds, also of processor time, from joining the group to the last commit.

    On fresh topics and cache keys. The model is loaded before.
    """
    own = fresh(settings)
    producer = KafkaProducer(bootstrap_servers=own.kafka.bootstrap, linger_ms=20)
    for pair in pairs:
        kind = topic.record
        record = kind(**{name: value for name, value in pair if name in kind.model_fields})
        producer.send(
            own.kafka.topic_prefix + topic.name,
            encode(record),
            key=pair.pair_id.encode(),
            headers=headers_of(record),
        )
    producer.close()
    worker = build_worker(stage, own)
    thread = Thread(target=worker.run)
    thread.start()
    while worker.not_ready() is not None and thread.is_alive():
        time.sleep(0.002)
    began, worked = time.perf_counter(), time.process_time()
    while worker.progress.snapshot().emitted < len(pairs):
        if not thread.is_alive():
            raise SystemExit(f"{stage} stopped before it had processed all records")
        time.sleep(0.005)
    seconds, processor_s = time.perf_counter() - began, time.process_time() - worked
    worker.stop()
    thread.join()
    return seconds, processor_s


def _pair(blobs: BlobStore, number: int) -> CaptionedPair:
    rng = np.random.default_rng(number)
    drawn = Image.fromarray(rng.integers(0, 256, (8, 6, 3), np.uint8)).resize(_SIDE)
    file = io.BytesIO()
    drawn.save(file, "JPEG", quality=90)
    blob: BlobRef = blobs.put(file.getvalue(), "image/jpeg")
    width, height = _SIDE
    image = image_ref(
        blob, width=width, height=height, original_width=width, original_height=height
    )
    fields = {"text": _TEXT, "clean_text": _TEXT, "image": image, "original": None}
    return captioned_pair(number, *_CANDIDATES, **fields)


if __name__ == "__main__":
    main()
