"""`kaption doctor`: check what workers need, and say how to repair what is wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kaption.connections.errors import Fatal, Fault
from kaption.connections.kafka.rights import check_rights
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.objectstore import open_store
from kaption.objectstore.open import try_store
from kaption.schemas import TOPICS
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.cli.common import Config, Models
from kaption.workers.plugins import load_captioners, load_checks, load_scorer
from kaption.workers.presets import TOY
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.settings import Settings, UserError, load_settings
from kaption.workers.stores.client import connect_all, try_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.wiring import OUTPUTS, STAGES

if TYPE_CHECKING:
    from kaption.workers.captioners.captioner import Captioner


class UnhealthyError(Exception):
    """A check failed; the message says what to do."""


def command(
    config: Config = None,
    models: Models = None,
    servers: Annotated[bool, typer.Option(help="Check Kafka, Redis and the store.")] = True,
    no_models: Annotated[bool, typer.Option("--no-models", help="Do not load the models.")] = False,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Check on Kafka only what this stage needs. May be repeated."),
    ] = None,
) -> None:
    """Check topics, rights, Redis, the store and the models. Exits with 1 if one is wrong.

    Models that are not on this machine are downloaded.

    Example: kaption doctor --no-models --stage ingest
    """
    stages = stage or []
    if unknown := [each for each in stages if each not in STAGES]:
        raise UserError(f"no stage is called {unknown[0]!r}: choose from {', '.join(STAGES)}")
    settings = load_settings(config, models)
    console = Console(highlight=False)
    failed = False
    checks: dict[str, Callable[[Settings], str]] = {}
    if servers:
        checks = {"topics": partial(_topics, stages), "rights": partial(_rights, stages)}
        checks |= {"redis": _redis, "store": _store}
    if not no_models:
        checks |= {"scorer": _scorer, "captioners": _captioners, "checks": _checks}
    for name, check in checks.items():
        try:
            console.print(f"[green]ok[/]     {name}: {check(settings)}", soft_wrap=True)
        except (UnhealthyError, Fault, TopicError) as error:
            failed = True
            console.print(f"[red]wrong[/]  {name}: {error}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _topics(stages: Sequence[str], settings: Settings) -> str:
    needed = {REJECTED, DEAD}.union(*((*STAGES[each], *OUTPUTS[each]) for each in stages))
    topics = [each for each in TOPICS if each in needed or not stages]
    with TopicAdmin(settings.kafka) as admin:
        differences = admin.check(topics)
    if differences:
        raise UnhealthyError("; ".join(map(str, differences)))
    return f"{len(topics)} topics at {settings.kafka.bootstrap} match the contract"


def _rights(stages: Sequence[str], settings: Settings) -> str:
    """Check the rights of the given stages, all of which must have them.

    Without a given stage, report which stages have their rights: each may have a Kafka user of its
    own, so one user rarely has the rights of all.
    """
    kafka, timeout_s = settings.kafka, RuntimePolicy.of(settings.runtime).request_timeout_s
    if kafka.security_protocol == "PLAINTEXT":
        return "not asked, because without TLS and SASL a broker cannot tell its clients apart"
    lacking = {}
    for each in stages or STAGES:
        identity = f"{kafka.topic_prefix}{each}-doctor"
        try:
            check_rights(kafka, each, STAGES[each], OUTPUTS[each], identity, timeout_s)
        except Fatal as error:
            lacking[each] = str(error)
    if stages and lacking:
        raise UnhealthyError("; ".join(f"{each}: {why}" for each, why in lacking.items()))
    may = [each for each in stages or STAGES if each not in lacking]
    parts = [f"granted for the stages {', '.join(may) or 'none'}"]
    parts += [f"missing for {each}: {why}" for each, why in lacking.items()]
    return "; ".join(parts)


def _redis(settings: Settings) -> str:
    for client in connect_all(settings.redis):
        try_redis(client, settings.redis.key_prefix)
    wrong = Dedup.connected(settings.redis, settings.ingest.dedup).ready()
    if wrong is not None:
        raise UnhealthyError(wrong)
    return "answers, and stores what is written"


def _store(settings: Settings) -> str:
    try_store(open_store(settings.store), f"doctor/{uuid.uuid4().hex}", settings.sink.shard_bytes)
    return (
        f"{settings.store.url} takes a shard of {settings.sink.shard_bytes:,} bytes, reads, and "
        "honours conditional writes"
    )


def _scorer(settings: Settings) -> str:
    from kaption.workers.models.probe import try_scorer

    scorer = load_scorer(settings.clip)
    told = try_scorer(scorer)
    toy = f"; {TOY}" * (scorer.model == "demo")
    known = scorer.recommended_score
    score = "no recommended score" if known is None else f"recommended score {known:.4g}"
    return f"{scorer.model} {scorer.revision}, {score}; {told}{toy}"


def _captioners(settings: Settings) -> str:
    return ", ".join(
        f"{each.name} ({each.model}){_said(each)}" for each in load_captioners(settings.recaption)
    )


def _said(captioner: Captioner) -> str:
    """What it says of a small image; nothing of a captioner that needs no image."""
    from kaption.workers.captioners.captioner import CaptionContext
    from kaption.workers.models.probe import disc

    if not captioner.uses_images:
        return ""
    (captions,) = captioner.caption([disc("red")], [CaptionContext("a picture")])
    said = next((caption.text for caption in captions if caption.text), "")
    if not said:
        raise UnhealthyError(
            f"{captioner.name} ({captioner.model}) gave no caption for an image of a red disc: look"
            " at its model and its prompts"
        )
    return f" calls a red disc {said[:80]!r}" + f"; {TOY}" * (captioner.model == "demo")


def _checks(settings: Settings) -> str:
    return ", ".join(each.name for each in load_checks(settings.select))
