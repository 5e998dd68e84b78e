"""`kaption status`: lag and rate of each stage, and why pairs were refused; needs only Kafka."""

from __future__ import annotations

import time
from collections import Counter
from typing import Annotated

import typer
from rich.table import Table

from kaption.connections.kafka.lag import LagReader
from kaption.connections.kafka.topics import TopicAdmin
from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.schemas import DeadLetter, Position, RejectedPair
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.cli.common import Config, print_table
from kaption.workers.settings import load_settings
from kaption.workers.wiring import STAGES


def command(
    config: Config = None,
    interval: Annotated[float, typer.Option(help="Seconds over which to measure rates.")] = 2.0,
    recent: Annotated[
        int, typer.Option(help="Number of the newest rejections and dead letters to count.")
    ] = 10_000,
) -> None:
    """Show lag and rate of each stage, and the reasons of the latest rejections."""
    kafka = load_settings(config).kafka
    stages = Table("stage", "done", "lag", "records/s", box=None)
    with LagReader(kafka) as reader:
        groups = {name: (kafka.topic_prefix + name, inputs) for name, inputs in STAGES.items()}
        before = {name: reader.progress(*group) for name, group in groups.items()}
        started = time.monotonic()
        time.sleep(interval)
        for name, group in groups.items():
            now = reader.progress(*group)
            rate = (now.committed - before[name].committed) / (time.monotonic() - started)
            stages.add_row(name, str(now.committed), str(now.lag), f"{rate:.1f}")
    print_table(stages)
    outcomes = Table("stage", "reason", f"among the newest {recent}", box=None)
    for (stage, reason), count in _refusals(kafka, recent).most_common():
        outcomes.add_row(stage, reason, str(count))
    print_table(outcomes)


def _refusals(kafka: KafkaConnection, recent: int) -> Counter[tuple[str, str]]:
    """Count the (stage, reason) of about the `recent` newest rejections and dead letters."""
    with TopicAdmin(kafka) as admin:
        states = admin.describe((REJECTED, DEAD))
    start = [
        Position(state.topic, number, max(each.begin, each.end - recent // len(state.partitions)))
        for state in states
        for number, each in enumerate(state.partitions)
    ]
    counts: Counter[tuple[str, str]] = Counter()
    with TopicReader(kafka, (REJECTED, DEAD), start=start) as reader:
        for read in reader:
            match read.record:
                case RejectedPair() as pair:
                    counts[pair.stage, pair.reason.value] += 1
                case DeadLetter() as letter:
                    counts[letter.stage, "dead"] += 1
                case _:
                    counts["unknown", "unreadable"] += 1
    return counts
