"""Autoscaling by the chart: KEDA's group, topic, thresholds and log-in, and the HPA."""

from typing import Any

import pytest

from kaption.schemas import TOPICS
from kaption.workers.wiring import STAGES
from support.chart import Manifest, container, named, pods, render, settings

GPU_STAGES = {"score", "recaption", "select"}
KEDA = ["gpu-keda", "hardened", "oauth"]


def trigger(values: str, stage: str) -> dict[str, Any]:
    (only,) = named(render(values), "ScaledObject")[stage]["spec"]["triggers"]
    assert isinstance(only, dict)
    return only


def batch_records(manifests: list[Manifest], stage: str) -> int:
    loaded = settings(manifests, stage)
    return {
        "ingest": loaded.ingest.batch_records,
        "score": loaded.score.batch_records,
        "recaption": loaded.recaption.batch_records,
        "select": loaded.select.batch_records,
        "sink": loaded.sink.shard_records,
    }[stage]


@pytest.mark.parametrize("values", KEDA)
@pytest.mark.parametrize("stage", STAGES)
def test_keda_measures_the_lag_of_the_stages_group_on_its_topic(values: str, stage: str) -> None:
    kafka = settings(render(values), stage).kafka
    scaled = named(render(values), "ScaledObject")[stage]["spec"]
    metadata = trigger(values, stage)["metadata"]

    assert {type(value) for value in metadata.values()} == {str}  # as KEDA requires
    assert scaled["scaleTargetRef"] == {"name": f"kaption-{stage}"}
    assert metadata["bootstrapServers"] == kafka.bootstrap
    assert metadata["consumerGroup"] == kafka.topic_prefix + stage
    assert [metadata["topic"]] == [kafka.topic_prefix + topic.name for topic in STAGES[stage]]
    assert ("tls" in metadata) == kafka.uses_tls


@pytest.mark.parametrize("values", KEDA)
@pytest.mark.parametrize("stage", STAGES)
def test_keda_thresholds_prevent_idle_workers_and_flapping(values: str, stage: str) -> None:
    manifests = render(values)
    spec = named(manifests, "ScaledObject")[stage]["spec"]
    metadata = trigger(values, stage)["metadata"]
    partitions = min(topic.partitions for topic in STAGES[stage])
    probe = container(pods(manifests)[stage])["startupProbe"]

    assert spec["maxReplicaCount"] <= partitions
    assert metadata["limitToPartitionsWithLag"] == "true"
    # A transaction leaves a marker in each partition, which looks like lag while no worker runs.
    assert int(metadata["activationLagThreshold"]) >= partitions
    assert int(metadata["lagThreshold"]) == 4 * batch_records(manifests, stage)
    assert spec["cooldownPeriod"] >= probe["periodSeconds"] * probe["failureThreshold"]
    assert spec["minReplicaCount"] == (0 if stage in GPU_STAGES else 1)
    assert "replicas" not in named(manifests, "Deployment")[stage]["spec"]


def test_all_topics_between_stages_have_the_same_number_of_partitions() -> None:
    between = {topic for topics in STAGES.values() for topic in topics}

    assert between < set(TOPICS)
    assert {topic.partitions for topic in between} == {
        int(trigger("gpu-keda", stage)["metadata"]["activationLagThreshold"]) for stage in STAGES
    }


@pytest.mark.parametrize(
    ("values", "sasl", "secrets", "maps"),
    [
        (
            "hardened",
            "scram_sha512",
            {"password": "password", "ca": "ca.crt"},
            {"username": "KAPTION_KAFKA__USERNAME"},
        ),
        (
            "oauth",
            "oauthbearer",
            {"password": "client-secret"},
            {
                "username": "KAPTION_KAFKA__OAUTH_CLIENT_ID",
                "oauthTokenEndpointUri": "KAPTION_KAFKA__OAUTH_TOKEN_URL",
                "scopes": "KAPTION_KAFKA__OAUTH_SCOPE",
            },
        ),
    ],
)
def test_keda_logs_in_with_the_secrets_of_the_workers(
    values: str, sasl: str, secrets: dict[str, str], maps: dict[str, str]
) -> None:
    manifests = render(values)
    spec = named(manifests, "TriggerAuthentication")["kafka"]["spec"]

    assert trigger(values, "score")["metadata"]["sasl"] == sasl
    assert trigger(values, "score")["authenticationRef"] == {"name": "kaption-kafka"}
    assert {it["parameter"]: it["key"] for it in spec["secretTargetRef"]} == secrets
    assert {it["parameter"]: it["key"] for it in spec["configMapTargetRef"]} == maps
    data = named(manifests, "ConfigMap")["settings"]["data"]
    assert set(maps.values()) <= data.keys()


def test_keda_may_use_a_trigger_authentication_of_the_user() -> None:
    options = ("--set", "keda.authentication=mine")
    manifests = render("hardened", *options)

    (only,) = named(manifests, "ScaledObject")["score"]["spec"]["triggers"]
    assert only["authenticationRef"] == {"name": "mine"}
    assert not named(manifests, "TriggerAuthentication")


def test_an_hpa_scales_stages_without_gpus_by_cpu() -> None:
    manifests = render("minimal", "--set", "stages.recaption.gpus=1,stages.recaption.replicas=3")
    scaled, workers = (named(manifests, it) for it in ("HorizontalPodAutoscaler", "Deployment"))

    assert scaled.keys() == STAGES.keys() - {"recaption"}
    assert workers["recaption"]["spec"]["replicas"] == 3
    for stage, it in scaled.items():
        assert it["spec"]["scaleTargetRef"]["name"] == f"kaption-{stage}"
        assert it["spec"]["minReplicas"] == 1  # an HPA cannot start the first pod
        assert it["spec"]["maxReplicas"] <= min(topic.partitions for topic in STAGES[stage])
        assert "replicas" not in workers[stage]["spec"]
        assert container(pods(manifests)[stage])["resources"]["requests"][
            "cpu"
        ]  # CPU use is relative to this


def test_without_an_autoscaler_the_values_set_replicas() -> None:
    manifests = render("defaults", "--set", "stages.ingest.replicas=5")

    assert not named(manifests, "HorizontalPodAutoscaler") | named(manifests, "ScaledObject")
    replicas = {k: it["spec"]["replicas"] for k, it in named(manifests, "Deployment").items()}
    assert replicas == dict.fromkeys(STAGES, 1) | {"ingest": 5}
