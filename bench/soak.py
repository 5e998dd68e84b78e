"""Works at full rate while something breaks every 20 seconds: `make soak ARGS="--minutes 30"`.

Two `kaption work` processes of each stage work on Apache Kafka, Valkey and SeaweedFS. As many pairs
are published as are done, so that `--ahead` of them are always under way. One process of each stage
runs from the beginning to the end, and its memory is watched. The other one has a short session and
is killed. `bench.soak_faults` breaks things. The end is a violation, and the exit status 1, if

- a pair has not exactly one outcome, is twice in a topic, or a clean one is not in one shard;
- a claim in Redis belongs to a pair that did not come out of ingest;
- a process ends by itself, is not ready at the end, or does not stop in order;
- a partition with work to do stands still for longer than `--still` seconds;
- the median memory of the last third is over 1.05 of the middle third's, in ten minutes or more.

A worker that starts while the broker is away ends with one line, as the product promises. It is
started again, as by a supervisor, and counted.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import redis

from bench.inputs import records
from bench.memory import mib
from bench.soak_faults import EVERY_S, Faults
from kaption.connections.kafka.lag import LagReader
from kaption.connections.kafka.messages import Partition
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.open import open_store
from kaption.objectstore.store import ObjectStore
from kaption.producers import Publisher
from kaption.schemas import RawPair
from kaption.schemas.topics import CLEAN, RAW, REJECTED, TOPICS
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
from kaption.workers.local.server import free_ports
from kaption.workers.wiring import STAGES
from tools.servers import ApacheKafka, SeaweedFs

if TYPE_CHECKING:
    from support.replicas import Replica

_TESTS = Path(__file__).parents[1] / "tests"
_PARTITIONS = 6
_SESSIONS_S = (20, 6)
"""Of the process that is watched and of the one that is killed: a frozen broker throws one out of
the group, and keeps the other."""
_LOOK_S = 1.0
_DRAIN_S = 600.0
_READY_S = 120.0
_FLAT = 1.05
_WARM_MINUTES = 10.0
_SETTINGS = {
    "KAPTION_HEALTH__HOST": "127.0.0.1",
    "KAPTION_RUNTIME__TRANSACTION_DEADLINE_S": "6",
    "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
    # The caption model is to take no longer than the others.
    "KAPTION_RECAPTION__TRANSFORMERS__SAMPLING__CANDIDATES": "1",
    "KAPTION_RECAPTION__TRANSFORMERS__SAMPLING__MAX_NEW_TOKENS": "16",
    "KAPTION_SELECT__MIN_SCORE": "-1",
    "KAPTION_SINK__SHARD_AGE_S": "4",
}


class Watch:
    """Looks at lag and memory until the last pair is done."""

    def __init__(self, kafka: KafkaConnection, watched: Mapping[str, Replica]) -> None:
        self._kafka = kafka
        self._watched = watched
        self._reader = LagReader(kafka)
        self._moved: dict[Partition, tuple[int, float]] = {}
        self.still = dict.fromkeys(STAGES, 0.0)
        """The longest time in which a partition of a stage with lag got no commit."""
        self.lags: dict[str, list[int]] = defaultdict(list)
        self.memory: dict[str, list[float]] = defaultdict(list)
        """MiB of the watched process of each stage."""

    def look(self) -> int | None:
        """Records under way, over all stages; None while the broker does not tell."""
        try:
            progress = {
                stage: self._reader.progress(self._kafka.topic_prefix + stage, inputs)
                for stage, inputs in STAGES.items()
            }
        except TopicError:
            return None
        now = time.monotonic()
        for stage, found in progress.items():
            self.lags[stage].append(found.lag)
            self.memory[stage].append(mib(self._watched[stage].pid))
            for each in found.partitions:
                done, since = self._moved.get(each.partition, (-1, now))
                if each.done != done or each.done >= each.end:
                    since = now
                self._moved[each.partition] = each.done, since
                self.still[stage] = max(self.still[stage], now - since)
        return sum(found.lag for found in progress.values())

    def table(self, most_still_s: float, *, warm: bool) -> list[str]:
        """Print a row for each stage; returns the violations."""
        violations = []
        print("stage       MiB, middle third       last  ratio  most lag  longest still")
        for stage, found in self.memory.items():
            third = max(1, len(found) // 3)
            middle, last = map(statistics.median, (found[-2 * third : -third], found[-third:]))
            ratio, lag, still = last / middle, max(self.lags[stage]), self.still[stage]
            print(f"{stage:10} {middle:18.1f} {last:10.1f} {ratio:6.3f} {lag:9,} {still:12.0f} s")
            if ratio > _FLAT and warm:
                violations.append(f"the memory of {stage} grew from {middle:.0f} to {last:.0f} MiB")
            if still > most_still_s:
                violations.append(f"a partition of {stage} stood still for {still:.0f} s")
        return violations

    def close(self) -> None:
        """End the connection."""
        self._reader.__exit__()


def main() -> None:
    """Soak, print a table, and exit with 1 after a violation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--ahead", type=int, default=300, help="pairs that are under way")
    parser.add_argument("--still", type=float, default=120.0, help="in seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", type=Path, help="a folder for the workers' logs, to be kept")
    given = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    sys.path.insert(0, str(_TESTS))
    with ExitStack() as stack:
        violations = soak(given, stack)
    for each in violations:
        print(f"violation: {each}")
    print(f"{len(violations)} violations")
    sys.exit(bool(violations))


def soak(given: argparse.Namespace, stack: ExitStack) -> list[str]:
    """Run everything; returns the violations."""
    from support.parts import S3Bucket

    broker = stack.enter_context(ApacheKafka())
    # What the operating system has taken over outlives the process, also without fsync.
    valkey = stack.enter_context(Valkey(durable=True))
    store = stack.enter_context(SeaweedFs())
    bucket = S3Bucket.on(store)
    folder = given.logs or Path(stack.enter_context(TemporaryDirectory()))
    folder.mkdir(parents=True, exist_ok=True)
    kafka = KafkaConnection(bootstrap=broker.bootstrap, topic_prefix="soak.")
    with TopicAdmin(kafka) as admin:
        admin.create([replace(each, partitions=_PARTITIONS) for each in TOPICS])
    settings = _SETTINGS | {
        "KAPTION_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "KAPTION_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "KAPTION_REDIS__URL": valkey.url,
        "KAPTION_STORE__URL": f"s3://{bucket.name}",
        "KAPTION_STORE__ENDPOINT": bucket.endpoint,
        "KAPTION_STORE__ACCESS_KEY": bucket.access_key,
        "KAPTION_STORE__SECRET_KEY": bucket.secret_key,
        "KAPTION_SINK__SPOOL": str(folder / "spool"),
    }
    ports = free_ports(len(STAGES) * len(_SESSIONS_S))
    replicas = _replicas(settings, ports, folder, stack)
    watched, victims = replicas[::2], replicas[1::2]
    watch = Watch(kafka, dict(zip(STAGES, watched, strict=True)))
    stack.callback(watch.close)
    faults = Faults((broker, valkey, store), watched, victims, random.Random(given.seed))
    stack.callback(faults.stop)
    objects = open_store(bucket.connection())
    published = _publish(given, kafka, BlobStore(objects), watch, faults)
    violations = _finish(watch, faults, dict(zip(ports, replicas, strict=True)))
    violations += watch.table(given.still, warm=given.minutes >= _WARM_MINUTES)
    violations += _judge(kafka, objects, valkey.url, published)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.done.items()))
    print(f"faults, one every {EVERY_S} s: {told}")
    print(f"started again while the broker was away: {faults.started_again}", flush=True)
    return violations


def _replicas(
    settings: dict[str, str], ports: Sequence[int], folder: Path, stack: ExitStack
) -> list[Replica]:
    """Of each stage the one that is watched and the one that is killed, started."""
    from support.replicas import Replica

    made = []
    each = itertools.product(STAGES, enumerate(_SESSIONS_S))
    for port, (stage, (number, session_s)) in zip(ports, each, strict=True):
        own = settings | {
            "KAPTION_HEALTH__PORT": str(port),
            "KAPTION_RUNTIME__SESSION_TIMEOUT_S": str(session_s),
        }
        made.append(Replica(stage, number, own, folder))
        made[-1].start()
        stack.callback(made[-1].kill9)
    return made


def _publish(
    given: argparse.Namespace,
    kafka: KafkaConnection,
    blobs: BlobStore,
    watch: Watch,
    faults: Faults,
) -> int:
    """Keep so many pairs under way, while things break; returns how many were published."""
    published, began, pages = 0, time.monotonic(), dict[str, Page]()
    with Site(pages) as site, Publisher(kafka) as publisher:
        make = records(blobs, pages, site.url)
        faults.start()
        while time.monotonic() - began < 60 * given.minutes:
            faults.look()
            under_way = watch.look()
            for _ in range(given.ahead - under_way if under_way is not None else 0):
                pair = make("ingest", published)
                assert isinstance(pair, RawPair)
                publisher.publish(pair)
                published += 1
            time.sleep(_LOOK_S)
        faults.stop()
        publisher.flush()
        seconds = time.monotonic() - began
        deadline = time.monotonic() + _DRAIN_S
        while watch.look() != 0 and time.monotonic() < deadline:
            faults.look()
            time.sleep(_LOOK_S)
    print(
        f"{published:,} pairs in {seconds / 60:.1f} minutes ({published / seconds:.1f}/s), the "
        f"last one done {time.monotonic() - began - seconds:.0f} s later"
    )
    return published


def _finish(watch: Watch, faults: Faults, replicas: dict[int, Replica]) -> list[str]:
    """Stop the replicas, given by their ports, once all are ready; returns the violations."""
    from support.web import get

    violations = []
    if left := watch.look():
        violations.append(f"{left} records are not done {_DRAIN_S:.0f} s after the last pair")
    deadline = time.monotonic() + _READY_S
    for port, replica in replicas.items():
        while (seen := get(port, "/readyz"))[0] != HTTPStatus.OK and time.monotonic() < deadline:
            faults.look()
            time.sleep(_LOOK_S)
        if seen[0] != HTTPStatus.OK:
            violations.append(f"{replica.log.stem} is not ready: {seen[1]}")
    ended = [(replica.log.stem, replica.stop()) for replica in replicas.values()]
    stopped = [f"{name} was stopped and ended with {code}" for name, code in ended if code]
    return faults.problems + violations + stopped


def _judge(
    kafka: KafkaConnection, objects: ObjectStore, redis_url: str, published: int
) -> list[str]:
    """What the tests' oracle finds in topics, shards and Redis."""
    from support.oracle import Oracle

    oracle = Oracle(kafka.bootstrap, kafka.topic_prefix, objects, "dataset")
    violations = oracle.faults()
    with redis.Redis.from_url(redis_url) as client:
        violations += oracle.claim_faults(client, "kaption:")
    arrived, clean, refused = (len(oracle.topics[each.name]) for each in (RAW, CLEAN, REJECTED))
    if arrived != published:
        violations.append(f"{published} pairs were published, and {arrived} arrived")
    print(f"outcomes: {clean:,} clean, {refused:,} rejected")
    return violations


if __name__ == "__main__":
    main()
