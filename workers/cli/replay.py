"""`kaption replay`: process dead, rejected or raw records again."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from kaption.connections.settings import KafkaConnection
from kaption.consumers import TopicReader
from kaption.producers.feed.checkpoint import START, Checkpoint
from kaption.producers.feed.feed import Fed, Feed, FeedOptions
from kaption.schemas import Topic
from kaption.schemas.topics import DEAD, RAW, REJECTED, TOPICS
from kaption.workers.cli.common import Config, age, ask
from kaption.workers.replay import Replayed, Selection, replayable
from kaption.workers.settings import UserError, load_settings

_ASK_ABOVE = 10_000
_CHECKPOINT_S = 30.0


class What(StrEnum):
    """Topic to replay."""

    DEAD = "dead"
    REJECTED = "rejected"
    RAW = "raw"


_TOPICS: dict[What, Topic] = {What.DEAD: DEAD, What.REJECTED: REJECTED, What.RAW: RAW}


def command(
    what: Annotated[
        What, typer.Argument(help="Records of pairs.dead, pairs.rejected or pairs.raw.")
    ],
    reason: Annotated[
        list[str] | None,
        typer.Option(
            help="Only records rejected for this reason, or dead letters whose error contains it. "
            "May be repeated.",
        ),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Only records that this stage refused.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only newer records: an age such as 30m, 6h, 2d, or a time.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="At most this many records each second.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before many records.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Replay also what earlier replays published.")
    ] = False,
    config: Config = None,
) -> None:
    """Publish records again to the topic that their stage reads.

    A record keeps its first origin, so that deduplication does not take it for
    a copy of itself. A later run with the same options skips the records that
    this one replayed.

    Example: kaption replay rejected --reason too_small --since 2d
    """
    if what is What.RAW and (reason or stage):
        raise UserError(
            "no stage refused raw pairs: --reason and --stage are for `replay rejected` and "
            "`replay dead`; choose raw pairs by --since"
        )
    kafka = load_settings(config).kafka
    selection = Selection(_TOPICS[what], tuple(reason or ()), stage, _since(since))
    sources, left_out = _sources(kafka, selection)
    counts = {
        topic.name: sum(1 for _ in source.read(_cursor(kafka, topic, source, from_start)))
        for topic, source in sources
    }
    for name, count in counts.items():
        typer.echo(f"{count} from {selection.topic.name} to {name}")
    if left_out:
        typer.echo(f"{left_out} cannot be replayed: their bytes were not kept, or are not a record")
    total = sum(counts.values())
    if not total:
        typer.echo("nothing to replay")
    if dry_run or not total:
        return
    if total > _ASK_ABOVE and not yes:
        ask(
            f"replay {total} records?",
            f"{total} records are not replayed: answer yes or give --yes, or choose fewer by "
            "--since, --stage and --reason",
        )
    for topic, source in sources:
        if counts[topic.name]:
            _publish(kafka, topic, source, rate, from_start)


def _sources(
    kafka: KafkaConnection, selection: Selection
) -> tuple[list[tuple[Topic, Replayed]], int]:
    """A source for each topic that records go to, and the number that cannot be replayed."""
    found: Counter[str | None] = Counter()
    with TopicReader(kafka, [selection.topic], start=selection.since or ()) as reader:
        for read in reader:
            target = replayable(read, selection, kafka.topic_prefix)
            if target is not None:
                found[target[0]] += 1
            elif selection.takes(read):
                found[None] += 1
    sources = [
        (topic, Replayed(topic.name, kafka=kafka, selection=selection))
        for topic in TOPICS
        if found[topic.name]
    ]
    return sources, found[None]


def _cursor(kafka: KafkaConnection, topic: Topic, source: Replayed, from_start: bool) -> str | None:
    name = topic.prefixed(kafka.topic_prefix).name
    checkpoint = Checkpoint(kafka, name, source.identity)
    return (START if from_start else checkpoint.read(_CHECKPOINT_S, stable=True)).cursor


def _publish(
    kafka: KafkaConnection, topic: Topic, source: Replayed, rate: float | None, from_start: bool
) -> None:
    with Console(stderr=True, highlight=False).status("connecting") as status:

        def committed(fed: Fed) -> None:
            status.update(f"{fed.published} records published to {topic.name}")

        feed = Feed(kafka, source, FeedOptions(topic=topic, from_start=from_start, rate=rate))
        fed = feed.run(committed)
    typer.echo(f"{fed.published} records published to {topic.name}")


def _since(text: str | None) -> datetime | None:
    if text is None:
        return None
    if (ago := age(text)) is not None:
        return datetime.now(UTC) - ago
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(
            f"--since {text}: give an age such as 30m, 6h or 2d, or a time such as "
            "2026-11-20T08:00+00:00"
        ) from error
    return given if given.tzinfo else given.replace(tzinfo=UTC)
