"""Autoscaling by the chart: KEDA's group, topic, thresholds and log-in, and the HPA."""

from typing import Any

import pytest
import yaml

from kaption.schemas import TOPICS
from kaption.workers.wiring import STAGES
from support.chart import CHART, Manifest, container, helm, named, pods, render, settings

GPU_STAGES = {"score", "recaption", "select"}
KEDA = ["gpu-keda", "hardened", "oauth"]
HPA = "HorizontalPodAutoscaler"
CAPTIONS = ("--set", "captionServer.enabled=true,captionServer.prometheus=http://prometheus")


def behavior(scaled: Manifest) -> dict[str, Any]:
    spec = scaled["spec"]
    if scaled["kind"] != HPA:
        spec = spec["advanced"]["horizontalPodAutoscalerConfig"]
    found = spec["behavior"]
    assert isinstance(found, dict)
    return found


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
    # With more, the last worker is stopped while a few records a second come.
    assert metadata["activationLagThreshold"] == "0"
    # Minutes of work where a worker is dear: `python -m bench.autoscaling` shows what that saves.
    batches = 1536 if stage in GPU_STAGES else 4
    assert int(metadata["lagThreshold"]) == batches * batch_records(manifests, stage)
    assert spec["cooldownPeriod"] >= probe["periodSeconds"] * probe["failureThreshold"]
    assert spec["minReplicaCount"] == (0 if stage in GPU_STAGES else 1)
    assert "replicas" not in named(manifests, "Deployment")[stage]["spec"]


def test_all_topics_between_stages_have_the_charts_number_of_partitions() -> None:
    between = {topic for topics in STAGES.values() for topic in topics}
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

    assert between < set(TOPICS)
    assert {topic.partitions for topic in between} == {values["partitions"]}


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
    data = {f"kaption-{name}": it["data"] for name, it in named(manifests, "ConfigMap").items()}
    assert all(it["key"] in data[it["name"]] for it in spec["configMapTargetRef"])


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


@pytest.mark.parametrize(("values", "kind"), [("minimal", HPA), ("gpu-keda", "ScaledObject")])
def test_workers_leave_one_by_one_and_join_a_few_at_a_time(values: str, kind: str) -> None:
    for options in ((), ("--set", "startLimitSeconds=600")):
        manifests = render(values, *options)
        for stage, it in named(manifests, kind).items():
            down, up = behavior(it)["scaleDown"], behavior(it)["scaleUp"]
            probe = container(pods(manifests)[stage])["startupProbe"]

            # A worker must not be removed while another one still loads its models.
            loading = probe["periodSeconds"] * probe["failureThreshold"]
            assert down["stabilizationWindowSeconds"] == loading
            assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 60}]
            assert up["policies"] == [{"type": "Pods", "value": 4, "periodSeconds": 60}]
            # One that was removed is not added again within a quarter of an hour.
            assert up["stabilizationWindowSeconds"] == (900 if stage in GPU_STAGES else 0)


def test_the_behavior_of_an_autoscaler_may_be_set() -> None:
    options = (
        "behavior.scaleDown.stabilizationWindowSeconds=0,behavior.scaleDown.selectPolicy=Disabled,"
        "behavior.scaleUp=null,stages.score.behavior.scaleDown.selectPolicy=Min"
    )
    made = named(render("minimal", "--set", options), HPA)

    assert behavior(made["ingest"]).keys() == {"scaleDown"}
    assert behavior(made["ingest"])["scaleDown"]["stabilizationWindowSeconds"] == 0
    assert behavior(made["ingest"])["scaleDown"]["selectPolicy"] == "Disabled"
    assert behavior(made["score"])["scaleDown"]["stabilizationWindowSeconds"] == 0
    assert behavior(made["score"])["scaleDown"]["selectPolicy"] == "Min"


@pytest.mark.parametrize("options", [("--set", "autoscaler=keda"), CAPTIONS])
def test_a_keda_that_is_too_old_is_refused(options: tuple[str, ...]) -> None:
    def made(*versions: str) -> str:
        asked = [it for each in versions for it in ("--api-versions", each)]
        return helm("template", "kaption", str(CHART), *options, *asked).stderr

    assert "older than 2.13" in made("keda.sh/v1alpha1")
    assert not made("keda.sh/v1alpha1", "eventing.keda.sh/v1alpha1")
    assert not made()  # without a cluster nobody knows
