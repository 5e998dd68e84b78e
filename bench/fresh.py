"""Settings for one measured run: topics and cache keys that no earlier run has used."""

from __future__ import annotations

import uuid
from dataclasses import replace

from kaption.connections.kafka.topics import TopicAdmin
from kaption.schemas.topics import TOPICS
from kaption.workers.settings import Settings


def fresh(settings: Settings) -> Settings:
    """The settings with prefixes of their own. The topics are made, with four partitions each."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    found = settings.model_copy(
        update={
            "kafka": settings.kafka.model_copy(update={"topic_prefix": f"{name}."}),
            "redis": settings.redis.model_copy(update={"key_prefix": f"{name}:"}),
        }
    )
    with TopicAdmin(found.kafka) as admin:
        admin.create([replace(each, partitions=4) for each in TOPICS])
    return found
