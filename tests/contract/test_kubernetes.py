"""deploy/kubernetes: valid manifests that name what exists and keep the engine's promises."""

import os
import re
import shutil
import subprocess
from typing import Any
from unittest.mock import patch

import kubernetes_validate
import pytest
import yaml

from contract.kustomize import KUBERNETES, containers, named_files, render
from schemas import TOPICS
from workers.cli.wiring import STAGES
from workers.settings import Settings, load_settings

BASE, GPU, KEDA = (render(KUBERNETES / name) for name in ("base", "gpu", "keda"))
GPU_STAGES = {"score", "recaption", "select"}
SETTINGS = next(it["data"] for it in BASE if it["kind"] == "ConfigMap")


def named(manifests: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    """Spec by name without `kaption-`, of one kind."""
    return {
        it["metadata"]["name"].removeprefix("kaption-"): it["spec"]
        for it in manifests
        if it["kind"] == kind
    }


def settings(variables: dict[str, str]) -> Settings:
    with patch.dict(os.environ, variables, clear=True):
        return load_settings()


WORKERS = named(BASE, "Deployment")
SCALED = named(KEDA, "ScaledObject")
TRIGGERS = {name: it["triggers"][0]["metadata"] for name, it in SCALED.items()}
BATCHES = {
    "ingest": settings(SETTINGS).ingest.batch_records,
    "score": settings(SETTINGS).score.batch_records,
    "recaption": settings(SETTINGS).recaption.batch_records,
    "select": settings(SETTINGS).select.batch_records,
    "sink": settings(SETTINGS).sink.shard_records,
}


def start_limit_s(probe: dict[str, Any]) -> int:
    seconds: int = probe["periodSeconds"] * probe["failureThreshold"]
    return seconds


def gibibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Gi"))


@pytest.mark.parametrize(
    "manifest", BASE + GPU, ids=lambda it: f"{it['kind']}-{it['metadata']['name']}"
)
def test_manifests_are_valid(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.31", strict=True)


@pytest.mark.parametrize("folder", ["base", "gpu", "keda"])
def test_kustomizations_name_every_file(folder: str) -> None:
    files = {path.name for path in (KUBERNETES / folder).iterdir()} - {"kustomization.yaml"}

    assert {name for name in named_files(KUBERNETES / folder) if name != "../base"} == files


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, for its kustomize")
@pytest.mark.parametrize("folder", ["base", "gpu", "keda"])
def test_kustomize_makes_what_these_tests_look_at(folder: str) -> None:
    command = ["kubectl", "kustomize", str(KUBERNETES / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    text = re.sub(r"kaption-settings-\w{10}\b", "kaption-settings", text)

    def key(it: dict[str, Any]) -> tuple[str, str]:
        return it["kind"], it["metadata"]["name"]

    made = sorted(yaml.safe_load_all(text), key=key)
    assert made == sorted(render(KUBERNETES / folder), key=key)


def test_variables_are_settings_also_those_commented_out() -> None:
    text = (KUBERNETES / "base" / "settings.env").read_text()
    variables = dict(re.findall(r"^#?(KAPTION_\w+)=(.+)$", text, flags=re.MULTILINE))

    loaded = settings(variables)

    assert variables.keys() > SETTINGS.keys()
    assert loaded.store.url.startswith("s3://")


def test_every_stage_has_a_deployment_and_a_disruption_budget() -> None:
    budgets = named(BASE, "PodDisruptionBudget")

    assert list(WORKERS) == list(STAGES)
    assert list(budgets) == list(STAGES)
    for stage, spec in WORKERS.items():
        template = spec["template"]
        assert [it["args"] for it in template["spec"]["containers"]] == [["work", stage]]
        assert spec["selector"] == budgets[stage]["selector"]
        assert spec["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_the_job_creates_the_topics() -> None:
    jobs = named(BASE, "Job")

    assert [it["args"] for it in containers([{"spec": job} for job in jobs.values()])] == [
        ["topics", "create"]
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_probes_ask_where_workers_answer_and_wait_for_a_slow_start(stage: str) -> None:
    loaded = settings(SETTINGS)
    worker = WORKERS[stage]["template"]["spec"]["containers"][0]
    ports = {it["name"]: it["containerPort"] for it in worker["ports"]}
    asked = {
        name: (it["httpGet"]["path"], ports[it["httpGet"]["port"]])
        for name, it in worker.items()
        if name.endswith("Probe")
    }
    port = loaded.health.port

    # Liveness begins when the start is over: /healthz watches a thread that does not turn before.
    assert asked == {
        "startupProbe": ("/readyz", port),
        "readinessProbe": ("/readyz", port),
        "livenessProbe": ("/healthz", port),
    }
    limit = start_limit_s(worker["startupProbe"])
    assert limit >= loaded.runtime.rebuild_limit_s + 600
    assert WORKERS[stage]["progressDeadlineSeconds"] > limit
    annotations = WORKERS[stage]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port)


@pytest.mark.parametrize("stage", STAGES)
def test_pods_have_time_to_stop_and_room_for_the_spool(stage: str) -> None:
    loaded = settings(SETTINGS)
    pod = WORKERS[stage]["template"]["spec"]
    room = {it["name"]: it["emptyDir"].get("sizeLimit") for it in pod["volumes"]}
    partitions = max(topic.partitions for topic in STAGES[stage])

    stopping = loaded.runtime.grace_s + loaded.runtime.transaction_deadline_s
    assert pod["terminationGracePeriodSeconds"] > stopping
    assert loaded.sink.spool is None  # so it is in the temporary folder
    assert gibibytes(room["tmp"]) * 2**30 > 2 * partitions * loaded.sink.shard_bytes


@pytest.mark.parametrize("spec", [*WORKERS.values(), *named(BASE, "Job").values()])
def test_pods_run_as_nobody_in_particular(spec: dict[str, Any]) -> None:
    pod = spec["template"]["spec"]
    dockerfile = (KUBERNETES.parent / "Dockerfile").read_text()

    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod['securityContext']['runAsUser']} " in dockerfile
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        mounts = {it["name"]: it["mountPath"] for it in container["volumeMounts"]}
        assert {"/tmp", "/models"} == set(mounts.values())  # the image's HF_HOME is /models
        assert mounts.keys() == {it["name"] for it in pod["volumes"]}


def test_workers_get_settings_and_secrets() -> None:
    sources = [it["envFrom"] for it in containers(BASE)]

    assert sources == [
        [
            {"configMapRef": {"name": "kaption-settings"}},
            {"secretRef": {"name": "kaption-secrets"}},
        ]
    ] * (len(STAGES) + 1)
    assert not [name for name in SETTINGS if re.search("KEY|PASSWORD|REDIS", name)]


def test_threads_are_those_that_the_pods_ask_for() -> None:
    loaded = settings(SETTINGS)
    threads = {
        "ingest": loaded.ingest.image.decode_processes,
        "score": loaded.clip.threads,
        "recaption": loaded.recaption.transformers.threads,
        "select": loaded.clip.threads,
    }

    asked = {
        stage: int(spec["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
        for stage, spec in WORKERS.items()
        if stage in threads
    }
    assert asked == threads


def test_gpus_go_to_the_stages_that_compute_on_one() -> None:
    limits = {
        stage: spec["template"]["spec"]["containers"][0]["resources"]["limits"]
        for stage, spec in named(GPU, "Deployment").items()
    }

    assert {stage: it.get("nvidia.com/gpu") for stage, it in limits.items()} == {
        stage: 1 if stage in GPU_STAGES else None for stage in STAGES
    }


@pytest.mark.parametrize("stage", STAGES)
def test_scaling_looks_at_the_group_and_topic_of_the_stage(stage: str) -> None:
    loaded, trigger = settings(SETTINGS), TRIGGERS[stage]
    prefix = loaded.kafka.topic_prefix

    assert list(SCALED) == list(STAGES)
    assert SCALED[stage]["scaleTargetRef"] == {"name": f"kaption-{stage}"}
    assert trigger["consumerGroup"] == prefix + stage
    assert [trigger["topic"]] == [prefix + topic.name for topic in STAGES[stage]]
    assert {trigger["topic"]} < {prefix + topic.name for topic in TOPICS}
    assert trigger["bootstrapServersFromEnv"] in SETTINGS


@pytest.mark.parametrize("stage", STAGES)
def test_scaling_neither_idles_nor_flaps(stage: str) -> None:
    spec, trigger = SCALED[stage], TRIGGERS[stage]
    partitions = min(topic.partitions for topic in STAGES[stage])
    start = start_limit_s(WORKERS[stage]["template"]["spec"]["containers"][0]["startupProbe"])

    assert {type(value) for value in trigger.values()} == {str}  # KEDA's type of all metadata
    assert spec["maxReplicaCount"] <= partitions
    assert trigger["limitToPartitionsWithLag"] == "true"
    assert int(trigger["activationLagThreshold"]) >= partitions
    assert 2 <= int(trigger["lagThreshold"]) / BATCHES[stage] <= 8
    assert spec["cooldownPeriod"] >= start
    assert spec["cooldownPeriod"] > settings(SETTINGS).sink.shard_age_s
    assert spec["minReplicaCount"] == (0 if stage in GPU_STAGES else 1)
