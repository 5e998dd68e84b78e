"""`kaption topics strimzi`: topics and users as manifests for the Strimzi operator."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from kaption.connections.settings import KafkaConnection
from kaption.schemas import TOPICS, Topic
from kaption.workers.cli.acls import Grant, Of, chosen
from kaption.workers.cli.common import Config
from kaption.workers.settings import load_settings

_API = "kafka.strimzi.io/v1"
_RESOURCES = {"transactional-id": "transactionalId"}
_PATTERNS = {"prefixed": "prefix"}


def command(
    cluster: Annotated[str, typer.Option(help="Name of the Kafka resource of the cluster.")],
    of: Of = None,
    authentication: Annotated[
        Literal["scram-sha-512", "tls"], typer.Option(help="How the users log in.")
    ] = "scram-sha-512",
    config: Config = None,
) -> None:
    """Print a KafkaTopic for each topic and a KafkaUser for each stage and command, as JSON.

    Strimzi 0.49 or later. The operator makes a Secret for each user, with its
    name. Apply it in the namespace of the cluster:

    kaption topics strimzi --cluster my-cluster | kubectl -n kafka apply -f -
    """
    kafka = load_settings(config).kafka
    labels = {"strimzi.io/cluster": cluster}
    items = [
        *(_topic(topic.prefixed(kafka.topic_prefix), kafka, labels) for topic in TOPICS),
        *(
            _user(name, rights, authentication, labels)
            for name, rights in chosen(of, kafka.topic_prefix).items()
        ),
    ]
    typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))


def _topic(topic: Topic, kafka: KafkaConnection, labels: dict[str, str]) -> dict[str, Any]:
    replicas = {"replicas": kafka.replication_factor} if kafka.replication_factor > 0 else {}
    # Kubernetes takes no capitals and underscores in a name, Kafka does.
    name = topic.name.lower().replace("_", "-").strip("-.")
    spec = {"topicName": topic.name, "partitions": topic.partitions, **replicas}
    return _resource("KafkaTopic", name, labels, {**spec, "config": topic.config()})


def _user(
    name: str, rights: list[Grant], authentication: str, labels: dict[str, str]
) -> dict[str, Any]:
    acls = [
        {
            "resource": {
                "type": _RESOURCES.get(it.resource, it.resource),
                "name": it.name,
                "patternType": _PATTERNS.get(it.pattern, it.pattern),
            },
            "operations": list(it.operations),
        }
        for it in rights
    ]
    spec = {
        "authentication": {"type": authentication},
        "authorization": {"type": "simple", "acls": acls},
    }
    return _resource("KafkaUser", f"kaption-{name}", labels, spec)


def _resource(kind: str, name: str, labels: dict[str, str], spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}
