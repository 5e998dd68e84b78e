"""Works at full rate while something breaks every 20 seconds: `make soak ARGS="--minutes 30"`.

Two `kaption work` processes of each stage work on Apache Kafka, Valkey and SeaweedFS. As many pairs
are published as are done, so that `--ahead` of them are always under way. One process of each stage
runs from the beginning to the end, and its memory is watched. The other one has a short session and
is killed. `bench.soak_faults` breaks things. The end is a violation, and the exit status 1, if

- a pair has not exactly one outcome, is twice in a topic, or a clean one is not in one shard;
- a claim in Redis belongs to a pair that did not come out of ingest;
- a process ends by itself, or does not stop in order;
- a partition with work to do stands still for longer than `--still` seconds;
- the last third's median memory is over 1.05 of the middle third's, in a run of ten minutes or more.
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
from contextlib import ExitStack
from dataclasses import replace
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
from kaption.producers import Publisher
from kaption.schemas import RawPair
from kaption.schemas.topics import CLEAN, REJECTED, TOPICS
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
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
_FLAT = 1.05
_WARM_MINUTES = 10.0
_SETTINGS = {
    "KAPTION_HEALTH__HOST": "127.0.0.1",
    "KAPTION_HEALTH__PORT": "0",
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

    def __init__(self, kafka: KafkaConnection, replicas: list[Replica]) -> None:
        self._kafka = kafka
        self._replicas = replicas
        self._reader = LagReader(kafka)
        self._moved: dict[Partition, tuple[int, float]] = {}
        self.still = dict.fromkeys(STAGES, 0.0)
        """The longest time in which a partition of a stage with lag got no commit."""
        self.lags: dict[str, list[int]] = defaultdict(list)
        self.memory: dict[str, list[float]] = defaultdict(list)
        """MiB of the watched process of each stage."""
        self.ended: list[str] = []

    def look(self) -> int | None:
        """Records under way, over all stages; None while the broker does not tell."""
        for replica in self._replicas:
            if replica.ended is not None:
                tail = replica.log.read_text(errors="replace").splitlines()[-5:]
                self.ended.append("\n  ".join([f"{replica.log.stem} ended by itself:", *tail]))
                replica.start()
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
            self.memory[stage].append(mib(self._replicas[list(STAGES).index(stage) * 2].pid))
            for each in found.partitions:
                done, since = self._moved.get(each.partition, (-1, now))
                if each.done != done or each.done >= each.end:
                    since = now
                self._moved[each.partition] = each.done, since
                self.still[stage] = max(self.still[stage], now - since)
        return sum(found.lag for found in progress.values())

    def growth(self, stage: str) -> tuple[float, float]:
        """Medians of the watched process's memory in the middle and in the last third, in MiB."""
        found = self.memory[stage]
        third = max(1, len(found) // 3)
        return statistics.median(found[-2 * third : -third] or found), statistics.median(
            found[-third:]
        )

    def close(self) -> None:
        """End the connection."""
        self._reader.__exit__()


def main() -> None:
    """Soak, print a table, and exit with 1 after a violation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--ahead", type=int, default=300, help="pairs that are under way")
    parser.add_argument("--still", type=float, default=90.0, help="see above")
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
    from support.oracle import Oracle
    from support.parts import S3Bucket
    from support.replicas import Replica

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
    replicas = []
    for name, (number, session_s) in itertools.product(STAGES, enumerate(_SESSIONS_S)):
        own = settings | {"KAPTION_RUNTIME__SESSION_TIMEOUT_S": str(session_s)}
        replicas.append(Replica(name, number, own, folder))
        replicas[-1].start()
        stack.callback(replicas[-1].kill9)
    objects = open_store(bucket.connection())
    pages: dict[str, Page] = {}
    site = stack.enter_context(Site(pages))
    make = records(BlobStore(objects), pages, site.url)
    watch = Watch(kafka, replicas)
    stack.callback(watch.close)
    faults = Faults(broker, valkey, store, replicas[1::2], random.Random(given.seed))
    published, began = 0, time.monotonic()
    with Publisher(kafka) as publisher:
        faults.start()
        stack.callback(faults.stop)
        while time.monotonic() - began < 60 * given.minutes:
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
    violations = faults.problems
    deadline = time.monotonic() + _DRAIN_S
    while watch.look() != 0:
        if time.monotonic() > deadline:
            violations.append(f"not done {_DRAIN_S:.0f} s after the last pair: {watch.lags}")
            break
        time.sleep(_LOOK_S)
    drained = time.monotonic() - began - seconds
    violations += watch.ended
    for replica in replicas:
        if code := replica.stop():
            violations.append(f"{replica.log.stem} was stopped and ended with {code}")
    print(f"{'stage':10} {'MiB, middle':>12} {'last third':>10} {'ratio':>6} {'lag':>9} {'still':>7}")
    for name in STAGES:
        middle, last = watch.growth(name)
        lag, still = max(watch.lags[name]), watch.still[name]
        print(f"{name:10} {middle:12.1f} {last:10.1f} {last / middle:6.3f} {lag:9,} {still:5.0f} s")
        if last / middle > _FLAT and given.minutes >= _WARM_MINUTES:
            violations.append(f"the memory of {name} grew from {middle:.0f} to {last:.0f} MiB")
        if still > given.still:
            violations.append(f"a partition of {name} stood still for {still:.0f} s")
    oracle = Oracle(kafka.bootstrap, kafka.topic_prefix, objects, "dataset")
    violations += oracle.faults()
    with redis.Redis.from_url(valkey.url) as client:
        violations += oracle.claim_faults(client, "kaption:")
    if len(oracle.topics["pairs.raw"]) != published:
        violations.append(f"{published} published, {len(oracle.topics['pairs.raw'])} arrived")
    clean, refused = (len(oracle.topics[topic.name]) for topic in (CLEAN, REJECTED))
    print(
        f"{published:,} pairs in {seconds / 60:.1f} minutes ({published / seconds:.0f}/s), the rest "
        f"done after {drained:.0f} s: {clean:,} clean, {refused:,} rejected"
    )
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.done.items()))
    print(f"faults, one every {EVERY_S} s: {told}", flush=True)
    return violations


if __name__ == "__main__":
    main()
