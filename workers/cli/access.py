"""Whether the servers let us in, found out before models are loaded."""

from __future__ import annotations

from contextlib import suppress

import structlog

from schemas.errors import Retry
from schemas.kafka_access import check_access
from workers.settings import Settings

_log = structlog.get_logger(__name__)


def check_servers(settings: Settings, *, redis: bool) -> None:
    """Raises Fatal where Kafka, the store or (if wanted) Redis refuses us.

    One that does not answer is told in the log: a worker waits for it.
    """
    if seen := check_access(settings.kafka):
        _log.warning("no broker yet", error=seen)
    for check in (_check_store, _check_redis) if redis else (_check_store,):
        try:
            check(settings)
        except Retry as error:
            _log.warning("not there yet", error=str(error))


def _check_store(settings: Settings) -> None:
    from objectstore.open import open_store

    # A GET, because an answer to HEAD does not say why it is a refusal.
    with suppress(KeyError):
        open_store(settings.store).get("trial")


def _check_redis(settings: Settings) -> None:
    from workers.stores import redis_client

    redis_client.try_out(redis_client.connect(settings.redis), settings.redis.key_prefix)
