"""Compares each worker's memory after 10,000 and after 1,000 records: `python -m bench.memory`.

Each stage runs as a `kaption work` process on Apache Kafka, Valkey and a folder. It gets its
records in ten equal portions. When a portion is committed, the resident memory (VmRSS) of the
process and its children is read. A leak shows as a ratio well over 1 with growth in the last half
too. A library that warms up changes the ratio only. The peak is the sum of their VmHWM.

Caches are empty and no two records have the same image, except for recaption (see `bench.inputs`).
A shard holds a tenth of a portion, because the sink holds records until their shard is closed. A
rejected record or a dead letter ends the run: it would not use the memory of a whole step.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka import KafkaProducer

from bench.inputs import records
from kaption.connections.kafka.clients import client_config
from kaption.connections.kafka.lag import LagReader
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.settings import KafkaConnection
from kaption.objectstore.blobs import BlobStore
from kaption.objectstore.folder import FolderStore
from kaption.schemas import Pair, encode, headers_of
from kaption.schemas.topics import DEAD, REJECTED, TOPICS
from kaption.workers.demo.site import Page, Site
from kaption.workers.local import Valkey
from kaption.workers.wiring import STAGES
from tools.servers import ApacheKafka

_PORTIONS = 10
_STALL_S = 300.0


def main() -> None:
    """Print a row for each stage."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=10_000, help="a multiple of 10")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    given = parser.parse_args()
    portion = given.records // _PORTIONS
    if portion < 1 or given.records % _PORTIONS:
        parser.error(f"--records {given.records} must be a positive multiple of {_PORTIONS}")
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    pages: dict[str, Page] = {}
    with (
        ApacheKafka() as kafka,
        Valkey() as valkey,
        Site(pages) as site,
        TemporaryDirectory() as folder,
    ):
        make = records(BlobStore(FolderStore(Path(folder) / "store")), pages, site.url)
        first, last = f"after {portion:,}", f"after {given.records:,}"
        print(f"MiB        {first:>12} {last:>12} {'ratio':>6} {'last half':>10} {'peak':>8}")
        for stage in given.stages:
            environment = {
                "KAPTION_KAFKA__BOOTSTRAP": kafka.bootstrap,
                "KAPTION_KAFKA__TOPIC_PREFIX": f"{stage}.",
                "KAPTION_REDIS__URL": valkey.url,
                "KAPTION_REDIS__KEY_PREFIX": f"{stage}:",
                "KAPTION_STORE__URL": f"{folder}/store",
                "KAPTION_HEALTH__HOST": "127.0.0.1",
                "KAPTION_HEALTH__PORT": "0",
                "KAPTION_INGEST__FETCH__ALLOW_NETWORKS": '["127.0.0.0/8"]',
                "KAPTION_SELECT__MIN_SCORE": "-1",
                "KAPTION_SINK__SHARD_RECORDS": str(max(1, portion // 10)),
                "KAPTION_SINK__SHARD_AGE_S": "2",
            }
            log = Path(folder) / f"{stage}.log"
            used, peak = _measure(stage, environment, make, portion, log)
            print(
                f"{stage:10} {used[0]:12.1f} {used[-1]:12.1f} {used[-1] / used[0]:6.2f} "
                f"{used[-1] - used[_PORTIONS // 2 - 1]:+10.1f} {peak:8.1f}",
                flush=True,
            )


def _measure(
    stage: str,
    environment: Mapping[str, str],
    record: Callable[[str, int], Pair],
    portion: int,
    log: Path,
) -> tuple[list[float], float]:
    """MiB after each portion, and MiB at the peak."""
    prefix = environment["KAPTION_KAFKA__TOPIC_PREFIX"]
    connection = KafkaConnection(
        bootstrap=environment["KAPTION_KAFKA__BOOTSTRAP"], topic_prefix=prefix
    )
    (topic,) = STAGES[stage]
    used: list[float] = []
    with TopicAdmin(connection) as admin, LagReader(connection) as reader:
        admin.create([replace(each, partitions=min(each.partitions, 4)) for each in TOPICS])
        producer = KafkaProducer(**client_config(connection), linger_ms=20)
        with _worker(stage, environment, log) as process:
            for start in range(0, portion * _PORTIONS, portion):
                for pair in (record(stage, start + number) for number in range(portion)):
                    producer.send(
                        prefix + topic.name,
                        encode(pair),
                        key=pair.pair_id.encode(),
                        headers=headers_of(pair),
                    )
                producer.flush()
                done, moved = -1, time.monotonic()
                while done < start + portion:
                    if process.poll() is not None or time.monotonic() - moved > _STALL_S:
                        how = "stands still" if process.poll() is None else "ended"
                        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                        raise SystemExit(f"{stage} {how} after {done} records; its log:\n{tail}")
                    time.sleep(0.2)
                    with suppress(TopicError):  # a new broker has no group yet, or answers late
                        before, done = done, reader.progress(prefix + stage, [topic]).committed
                        moved = time.monotonic() if done > before else moved
                used.append(mib(process.pid))
            peak = mib(process.pid, "VmHWM")
        producer.close()
        refused = sum(state.records for state in admin.describe([REJECTED, DEAD]))
    if refused:
        raise SystemExit(
            f"{stage} had {refused} rejections or dead letters; all records should pass"
        )
    return used, peak


@contextmanager
def _worker(
    stage: str, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    bare = {name: value for name, value in os.environ.items() if "KAPTION" not in name.upper()}
    program = str(Path(sys.executable).with_name("kaption"))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [program, "work", stage],
            env={**bare, "KAPTION_MODELS": "demo", **environment},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def mib(pid: int, field: str = "VmRSS") -> float:
    """The sum of a field of /proc/PID/status over the process and its descendants, in MiB."""
    kilobytes, family = 0, [pid]
    for each in family:  # the loop appends the children
        with suppress(FileNotFoundError, ProcessLookupError):  # the process has ended
            status = Path(f"/proc/{each}/status").read_text()
            kilobytes += int(status.partition(f"{field}:")[2].split()[0])
            for task in Path(f"/proc/{each}/task").iterdir():
                family += map(int, (task / "children").read_text().split())
    return kilobytes / 1024


if __name__ == "__main__":
    main()
