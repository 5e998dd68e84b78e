"""An audit: pairs in the topics and the store, and desks and pages over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kafka import KafkaProducer
from starlette.testclient import TestClient

from kaption.connections.kafka.clients import client_config
from kaption.connections.settings import RedisConnection, StoreConnection
from kaption.consumers import Tombstone, TopicReader
from kaption.objectstore import BlobStore, open_store
from kaption.schemas import (
    Audit,
    AuditState,
    Caption,
    CaptionedPair,
    CaptionKind,
    CleanPair,
    RawPair,
    RejectedPair,
    Topic,
    encode,
    headers_of,
)
from kaption.schemas.topics import AUDIT, CLEAN
from kaption.workers.audit.app import AuditPages
from kaption.workers.audit.desk import AuditDesk
from kaption.workers.audit.login import Login
from kaption.workers.audit.server import open_claims, open_desk
from kaption.workers.policy.audit import AuditPolicy
from kaption.workers.settings import Settings
from support.stream_records import imaged
from support.topics import with_topics

TOKENS = {"ana": "a" * 20, "ben": "b" * 20, "cem": "c" * 20}


@dataclass(frozen=True)
class AuditSite:
    """The servers of an audit, and its settings."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a command finds the servers."""
        given = self.settings
        return {
            "KAPTION_KAFKA__BOOTSTRAP": given.kafka.bootstrap,
            "KAPTION_KAFKA__TOPIC_PREFIX": given.kafka.topic_prefix,
            "KAPTION_REDIS__URL": given.redis.url.get_secret_value(),
            "KAPTION_REDIS__KEY_PREFIX": given.redis.key_prefix,
            "KAPTION_STORE__URL": str(given.store.url),
        }

    def publish(self, number: int, **changed: object) -> CleanPair:
        """Publish a clean pair and its sample, with a real image in the store."""
        text = Caption(text=f"a machine wrote this about {number}", kind=CaptionKind.VLM, score=0.3)
        fields = {"captions": (text.model_copy(update={"model": "m"}),)} | changed
        blobs = BlobStore(open_store(self.settings.store))
        pair = imaged(blobs, number, 0, **fields).record
        self.send(CLEAN, pair)
        self.send(AUDIT, pair.model_copy(update={"audit": Audit(state=AuditState.SAMPLED)}))
        return pair

    def send(
        self, topic: Topic, *pairs: RawPair | CaptionedPair | CleanPair | RejectedPair
    ) -> None:
        kafka = self.settings.kafka
        producer = KafkaProducer(**client_config(kafka))
        name = kafka.topic_prefix + topic.name
        sent = [
            producer.send(name, encode(pair), key=pair.pair_id.encode(), headers=headers_of(pair))
            for pair in pairs
        ]
        for each in sent:
            each.get(timeout=30)
        producer.close()

    def read(self, topic: Topic) -> list[CleanPair | str]:
        """The pairs of a topic; a tombstone is its key."""
        with TopicReader(self.settings.kafka, [topic]) as reader:
            records = [read.record for read in reader]
        found: list[CleanPair | str] = []
        for each in records:
            assert isinstance(each, CleanPair | Tombstone), each
            found.append(each.key if isinstance(each, Tombstone) else each)
        return found

    @contextmanager
    def desk(self) -> Iterator[AuditDesk]:
        with open_desk(self.settings) as desk:
            yield desk

    @contextmanager
    def page(self, client: str = "127.0.0.1", **policy: object) -> Iterator[TestClient]:
        """A client of a server, not logged in, at an address."""
        given = self.settings.audit.model_dump() | policy
        chosen = AuditPolicy.model_validate(given)
        with self.desk() as desk:
            login = Login(chosen, open_claims(self.settings).key())
            app = AuditPages(desk, login, chosen).app()
            yield TestClient(app, client=(client, 1), follow_redirects=True)


def audit_site(
    bootstrap: str, prefix: str, redis_url: str, folder: Path, **audit: object
) -> AuditSite:
    """An audit with its topics, of two partitions each."""
    kafka = with_topics(bootstrap, prefix)
    tokens = " ".join(f"{name}={token}" for name, token in TOKENS.items())
    settings = Settings.model_validate(
        {
            "kafka": kafka,
            "redis": RedisConnection.model_validate({"url": redis_url, "key_prefix": prefix}),
            "store": StoreConnection(url=str(folder / "store")),
            "audit": {"tokens": tokens, "double_fraction": 0.0, "port": 0} | audit,
        }
    )
    return AuditSite(settings)
