"""`kaption doctor`: check what workers need, and say how to repair what is wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

import typer
from rich.console import Console

from kaption.connections.errors import Fatal, Fault, Retry
from kaption.connections.kafka.rights import check_rights
from kaption.connections.kafka.topics import TopicAdmin, TopicError
from kaption.connections.tls import setting
from kaption.objectstore import open_store
from kaption.schemas import TOPICS
from kaption.schemas.topics import DEAD, REJECTED
from kaption.workers.cli.common import Config
from kaption.workers.errors import UserError
from kaption.workers.plugins import load_captioners, load_checks, load_scorer
from kaption.workers.runtime.policy import RuntimePolicy
from kaption.workers.settings import Settings, load_settings
from kaption.workers.stores.client import connect_redis, try_redis
from kaption.workers.stores.dedup import Dedup
from kaption.workers.wiring import OUTPUTS, STAGES


class UnhealthyError(Exception):
    """A check failed; the message says what to do."""


def command(
    config: Config = None,
    servers: Annotated[bool, typer.Option(help="Check Kafka, Redis and the store.")] = True,
    models: Annotated[bool, typer.Option(help="Load the models; downloads missing ones.")] = True,
    stage: Annotated[
        list[str] | None,
        typer.Option(help="Check on Kafka only what this stage needs. May be repeated."),
    ] = None,
) -> None:
    """Check topics, rights, Redis, the store and the models. Exits with 1 if one is wrong.

    Example: kaption doctor --no-models --stage ingest
    """
    stages = stage or []
    if unknown := [each for each in stages if each not in STAGES]:
        raise UserError(f"no stage is called {unknown[0]!r}: choose from {', '.join(STAGES)}")
    settings = load_settings(config)
    console = Console(highlight=False)
    failed = False
    checks: dict[str, Callable[[Settings], str]] = {}
    if servers:
        checks = {"topics": partial(_topics, stages), "rights": partial(_rights, stages)}
        checks |= {"redis": _redis, "store": _store}
    if models:
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
    client = connect_redis(settings.redis)
    try:
        try_redis(client, settings.redis.key_prefix)
    except Retry as error:
        raise UnhealthyError(f"{error} ({setting('redis', 'url')} names the server)") from error
    wrong = Dedup(client, settings.redis.key_prefix, settings.ingest.dedup).ready()
    if wrong is not None:
        raise UnhealthyError(wrong)
    return "answers, and stores what is written"


def _store(settings: Settings) -> str:
    store = open_store(settings.store)
    key = f"doctor/{uuid.uuid4().hex}"
    # Not inside try: a refused delete would hide the error of a refused write.
    first = store.put_if_absent(key, b"1")
    try:
        second = store.put_if_absent(key, b"2")
        found = store.get(key)
    finally:
        store.delete(key)
    if (first, second, found) != (True, False, b"1"):
        raise UnhealthyError(
            f"{settings.store.url} does not honour conditional writes (If-None-Match: *), so "
            "shards could be written twice: use AWS S3, SeaweedFS, MinIO or a local folder"
        )
    return f"{settings.store.url} writes, reads and honours conditional writes"


def _scorer(settings: Settings) -> str:
    scorer = load_scorer(settings.clip)
    return f"{scorer.model} {scorer.revision}, recommended score {scorer.recommended_score}"


def _captioners(settings: Settings) -> str:
    return ", ".join(f"{each.name} ({each.model})" for each in load_captioners(settings.recaption))


def _checks(settings: Settings) -> str:
    return ", ".join(each.name for each in load_checks(settings.select))
