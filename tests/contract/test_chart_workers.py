"""Pods of the chart: commands, settings, probes, volumes and limits match the code."""

import math
import re
from typing import Any

import pytest

from kaption.workers.wiring import STAGES
from support.chart import (
    ROOT,
    VALUES,
    Manifest,
    container,
    named,
    pods,
    render,
    settings,
    variables,
)
from support.command_line import parse

GPU_STAGES = {"score", "recaption", "select"}


def start_limit_s(manifests: list[Manifest], stage: str) -> int:
    probe = container(pods(manifests)[stage])["startupProbe"]
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


def mebibytes(quantity: str) -> int:
    found = re.fullmatch(r"(\d+)(Mi|Gi)", quantity)
    assert found, quantity
    number, unit = found.groups()
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]


@pytest.mark.parametrize("values", VALUES)
def test_every_stage_has_a_deployment_and_a_disruption_budget(values: str) -> None:
    manifests = render(values)
    workers, budgets = named(manifests, "Deployment"), named(manifests, "PodDisruptionBudget")

    assert workers.keys() - {"audit"} == budgets.keys() == STAGES.keys()
    for stage in STAGES:
        it = workers[stage]
        labels = it["spec"]["template"]["metadata"]["labels"]
        assert container(pods(manifests)[stage])["args"] == ["work", stage]
        assert it["spec"]["selector"] == budgets[stage]["spec"]["selector"]
        assert it["spec"]["selector"]["matchLabels"].items() <= labels.items()


@pytest.mark.parametrize("stage", STAGES)
def test_workers_of_a_stage_are_spread_and_evicted_one_at_a_time(stage: str) -> None:
    manifests = render("defaults")
    deployment = named(manifests, "Deployment")[stage]["spec"]
    spread = pods(manifests)[stage]["topologySpreadConstraints"]

    assert [it["topologyKey"] for it in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert all(it["labelSelector"] == deployment["selector"] for it in spread)
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert named(manifests, "PodDisruptionBudget")[stage]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize("values", VALUES)
def test_variables_are_settings_and_commands_exist(values: str) -> None:
    manifests = render(values)

    for component, pod in pods(manifests).items():
        settings(manifests, component)  # refuses unknown variables and bad values
        parse(container(pod)["args"])  # refuses unknown commands and options


def test_each_component_runs_its_command() -> None:
    ran = {
        component: " ".join(container(pod)["args"])
        for component, pod in pods(render("hardened")).items()
        if component not in STAGES
    }

    assert ran == {
        "audit": "audit serve",
        "topics": "topics create",
        "models": "doctor --no-servers",
        "doctor": " ".join(["doctor --no-models", *(f"--stage {name}" for name in sorted(STAGES))]),
    }
    assert "topics" not in pods(render("minimal"))


def test_helm_test_checks_a_stage_as_its_own_kafka_user() -> None:
    # Given a Kafka user for ingest, and another password for the sink
    secret = "secrets.kafka\\.password"
    manifests = render(
        "hardened",
        *("--set", "stages.ingest.settings.kafka.username=kaption-ingest"),
        *("--set", f"stages.ingest.{secret}.secret=own,stages.ingest.{secret}.key=password"),
        *("--set", f"stages.sink.{secret}.secret=own,stages.sink.{secret}.key=password"),
    )
    # Then each of the two is checked as its own user, and the other stages as their shared user
    looked = {name: it for name, it in pods(manifests).items() if name.startswith("doctor")}
    assert {name: container(it)["args"][2:] for name, it in looked.items()} == {
        "doctor": ["--stage", "recaption", "--stage", "score", "--stage", "select"],
        "doctor-ingest": ["--stage", "ingest"],
        "doctor-sink": ["--stage", "sink"],
    }
    for doctor, stage in (
        ("doctor", "score"),
        ("doctor-ingest", "ingest"),
        ("doctor-sink", "sink"),
    ):
        assert settings(manifests, doctor).kafka == settings(manifests, stage).kafka


def test_settings_of_a_stage_reach_only_its_pods() -> None:
    manifests = render("gpu-keda")

    loaded = {stage: settings(manifests, stage) for stage in STAGES}

    assert loaded["score"].score.batch_records == 256
    assert loaded["ingest"].score.batch_records == 64
    assert loaded["recaption"].runtime.grace_s == 120
    assert {it.clip.model for it in loaded.values()} == {"ViT-B-32"}
    assert loaded["sink"].sink.shard_bytes == 2**30  # not 1.073741824e+09


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("stage", STAGES)
def test_probes_use_the_health_port_and_allow_a_slow_start(values: str, stage: str) -> None:
    manifests = render(values)
    loaded, worker = settings(manifests, stage), container(pods(manifests)[stage])
    ports = {it["name"]: it["containerPort"] for it in worker["ports"]}
    asked = {
        name: (it["httpGet"]["path"], ports[it["httpGet"]["port"]])
        for name, it in worker.items()
        if name.endswith("Probe")
    }
    port = loaded.health.port

    # The startup probe asks /readyz: /healthz watches the poll thread, which does not run at start.
    assert asked == {
        "startupProbe": ("/readyz", port),
        "readinessProbe": ("/readyz", port),
        "livenessProbe": ("/healthz", port),
    }
    # /healthz was answered after up to 12 s on a busy node. Whoever waits less kills what works.
    assert worker["livenessProbe"]["timeoutSeconds"] >= 2 * 12
    limit = start_limit_s(manifests, stage)
    assert limit >= loaded.runtime.rebuild_limit_s + 600
    assert named(manifests, "Deployment")[stage]["spec"]["progressDeadlineSeconds"] > limit


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("stage", STAGES)
def test_the_grace_period_covers_the_batch_and_its_commit(values: str, stage: str) -> None:
    manifests = render(values)
    runtime = settings(manifests, stage).runtime

    stopping = math.ceil(runtime.grace_s) + math.ceil(runtime.transaction_deadline_s)
    assert pods(manifests)[stage]["terminationGracePeriodSeconds"] == stopping + 15


@pytest.mark.parametrize("values", VALUES)
def test_the_spool_volume_holds_two_shards_for_each_partition(values: str) -> None:
    manifests = render(values)
    sink, pod = settings(manifests, "sink").sink, pods(manifests)["sink"]
    (spool,) = (it for it in pod["volumes"] if it["name"] == "spool")
    if "ephemeral" in spool:
        claim = spool["ephemeral"]["volumeClaimTemplate"]["spec"]
        room = claim["resources"]["requests"]["storage"]
        assert "ephemeral-storage" not in container(pod)["resources"]["requests"]
    else:
        room = spool["emptyDir"]["sizeLimit"]
        assert container(pod)["resources"]["requests"]["ephemeral-storage"] == room
    mounts = {it["name"]: it["mountPath"] for it in container(pod)["volumeMounts"]}
    partitions = max(topic.partitions for topic in STAGES["sink"])

    assert mebibytes(room) * 2**20 > 2 * partitions * sink.shard_bytes
    assert mounts["spool"] == sink.spool


@pytest.mark.parametrize(
    ("stage", "read"),
    [
        ("ingest", lambda it: it.ingest.image.decode_processes),
        ("score", lambda it: it.clip.threads),
        ("recaption", lambda it: it.recaption.transformers.threads),
        ("select", lambda it: it.clip.threads),
    ],
)
def test_workers_use_as_many_threads_as_their_pods_request(stage: str, read: Any) -> None:
    for values in ("defaults", "gpu-keda"):
        asked = container(pods(render(values))[stage])["resources"]["requests"]["cpu"]
        assert read(settings(render(values), stage)) == asked
        set_by_hand = settings(render(values, "--set", "settings.clip.threads=7"), stage)
        assert read(set_by_hand) == (7 if stage in ("score", "select") else asked)


def test_only_model_stages_get_gpus() -> None:
    for stage, pod in pods(render("gpu-keda")).items():
        gpus = container(pod)["resources"]["limits"].get("nvidia.com/gpu")
        tolerated = [it["key"] for it in pod.get("tolerations", [])]

        assert (gpus, tolerated) == ((1, ["nvidia.com/gpu"]) if stage in GPU_STAGES else (None, []))


def test_node_selectors_tolerations_and_priorities_reach_the_pods() -> None:
    options = "stages.sink.tolerations[0].key=spot,topics.priorityClassName=low"
    made = pods(render("gpu-keda", "--set", options))

    assert made["recaption"]["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert made["recaption"]["priorityClassName"] == "batch"
    assert made["sink"]["tolerations"] == [{"key": "spot"}]
    assert made["topics"]["priorityClassName"] == "low"


@pytest.mark.parametrize("values", VALUES)
def test_the_map_of_settings_cannot_change_and_all_pods_name_it(values: str) -> None:
    manifests = render(values)
    (name,) = (it for it in named(manifests, "ConfigMap") if it.startswith("settings-"))

    assert named(manifests, "ConfigMap")[name]["immutable"] is True
    for pod in pods(manifests).values():
        if pod["containers"][0]["name"] == "kaption":
            sources = container(pod)["envFrom"]
            assert sources == [{"configMapRef": {"name": f"kaption-{name}"}}]


@pytest.mark.parametrize(
    "change", ["settings.clip.model=other", "settings.kafka.bootstrap=b:1", "settings.models=null"]
)
def test_a_change_of_settings_makes_another_map_pods_and_jobs(change: str) -> None:
    before, after = render("hardened"), render("hardened", "--set", change)

    for stage in STAGES:
        templates = [named(it, "Deployment")[stage]["spec"]["template"] for it in (before, after)]
        assert templates[0] != templates[1]
    for kind in ("ConfigMap", "Job"):
        assert not named(before, kind).keys() & named(after, kind).keys()
    assert named(before, "Job").keys() == named(render("hardened"), "Job").keys()


def test_what_is_no_setting_keeps_the_map() -> None:
    after = render("defaults", "--set", "stages.sink.replicas=3,stages.sink.settings.clip.model=a")

    assert named(render("defaults"), "ConfigMap") == named(after, "ConfigMap")


def test_deployments_take_annotations_of_their_own() -> None:
    on = r"deploymentAnnotations.reloader\.stakater\.com/auto=true"
    made = named(
        render("defaults", "--set-string", on, "--set", "audit.enabled=true"), "Deployment"
    )

    assert made.keys() == STAGES.keys() | {"audit"}
    for it in made.values():
        assert it["metadata"]["annotations"] == {"reloader.stakater.com/auto": "true"}
        assert "reloader.stakater.com/auto" not in it["spec"]["template"]["metadata"].get(
            "annotations", {}
        )


def test_the_job_of_the_topics_may_have_its_own_user_and_role() -> None:
    options = (
        r"topics.settings.kafka.username=kaption-topics,topics.serviceAccountName=admin,"
        r"topics.secrets.kafka\.password.secret=admin,topics.secrets.kafka\.password.key=password"
    )
    manifests = render("hardened", "--set", options)
    made = pods(manifests)

    assert settings(manifests, "topics").kafka.username == "kaption-topics"
    assert made["topics"]["serviceAccountName"] == "admin"
    for component in made.keys() - {"topics", "captions"}:  # nor does `helm test` use it
        assert settings(manifests, component).kafka.username == "kaption"
        assert made[component]["serviceAccountName"] == "kaption"
        assert not [it for it in container(made[component])["env"] if "'admin'" in str(it)]


def test_models_are_stored_in_the_mounted_volume() -> None:
    def claims(values: str) -> list[Any]:
        return [
            it["persistentVolumeClaim"]["claimName"]
            for component in ("score", "models")
            for it in pods(render(values))[component]["volumes"]
            if it["name"] == "models"
        ]

    assert claims("gpu-keda") == ["kaption-models"] * 2
    assert "models" in named(render("gpu-keda"), "PersistentVolumeClaim")
    assert claims("hardened") == ["models"] * 2
    assert {"name": "models", "emptyDir": {}} in pods(render("defaults"))["score"]["volumes"]


def test_workers_with_a_filled_volume_are_offline() -> None:
    options = "models.token.secret=hub,models.token.key=token"
    filled = render("gpu-keda", "--set", options)

    assert variables(filled, "score")["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in variables(filled, "models")
    assert "HF_HUB_OFFLINE" not in variables(render("defaults"), "score")
    assert variables(filled, "models")["HF_TOKEN"] == "secret"
    assert "HF_TOKEN" not in variables(filled, "topics")


def test_the_chart_matches_the_dockerfile() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    made = pods(render("gpu-keda"))

    assert {pod["securityContext"]["runAsUser"] for pod in made.values()} == {10001}
    assert "USER 10001:10001" in dockerfile
    assert "HOME=/models HF_HOME=/models" in dockerfile
    images = {stage: container(made[stage])["image"] for stage in STAGES}
    assert images == {
        stage: "kaption:0.1.0-gpu" if stage in GPU_STAGES else "kaption:0.1.0" for stage in STAGES
    }
    assert re.search(r"-t kaption:0.1.0-gpu --target worker-gpu ", dockerfile)


def test_variables_of_opentelemetry_reach_every_pod() -> None:
    options = ["--set", "settings.runtime.tracing=true"]
    options += ["--set-string", "otel.OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"]
    manifests = render(VALUES[0], *options)

    for stage in STAGES:
        environment = {
            each["name"]: each.get("value") for each in container(pods(manifests)[stage])["env"]
        }
        assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
        assert settings(manifests, stage).runtime.tracing
