"""The chart's optional caption server: a Deployment of vLLM that workers reach."""

import kubernetes_validate
import pytest

from contract.test_chart_security import violations
from support.chart import KUBERNETES, Manifest, container, helm, named, pods, render

ON = ("--set", "captionServer.enabled=true")
KEY = "captionServer.apiKey.secret=vllm,captionServer.apiKey.key=key"
FULL = f"captionServer.prometheus=http://prometheus:9090,models.claim.create=true,{KEY}"
SCALED = (*ON, "--set", FULL)


def own(manifests: list[Manifest]) -> list[Manifest]:
    return [it for it in manifests if it["metadata"]["name"] == "kaption-captions"]


def test_it_is_there_only_on_request() -> None:
    assert [it["kind"] for it in own(render("defaults"))] == []
    assert {it["kind"] for it in own(render("defaults", *ON))} == {"Service", "Deployment"}


@pytest.mark.parametrize("options", [ON, SCALED])
def test_its_manifests_are_valid(options: tuple[str, ...]) -> None:
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    for manifest in own(render("defaults", *options)):
        if manifest["kind"] == "ScaledObject":
            read = ScaledObject.model_validate(manifest)
            assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == manifest
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_it_has_a_gpu_and_asks_health_by_every_probe() -> None:
    pod = pods(render("defaults", *ON))["captions"]
    server = container(pod)

    assert server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert [it["key"] for it in pod["tolerations"]] == ["nvidia.com/gpu"]
    probes = [it for name, it in server.items() if name.endswith("Probe")]
    assert [it["httpGet"]["path"] for it in probes] == ["/health"] * 3
    start = server["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 900


def test_its_pod_meets_the_restricted_profile_and_mounts_what_it_declares() -> None:
    pod = pods(render("hardened", *SCALED))["captions"]
    mounts = {it["name"] for it in container(pod)["volumeMounts"]}

    assert not list(violations(pod))
    assert mounts == {it["name"] for it in pod["volumes"]}
    assert container(pod)["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_service_finds_it_and_no_worker() -> None:
    manifests = render("defaults", *ON)
    service = named(manifests, "Service")["captions"]["spec"]
    labels = named(manifests, "Deployment")["captions"]["spec"]["template"]["metadata"]["labels"]

    assert service["selector"].items() <= labels.items()
    assert service["selector"]["app.kubernetes.io/component"] == "captions"
    assert [it["port"] for it in service["ports"]] == [8000]


def test_keda_scales_it_by_the_requests_that_wait() -> None:
    manifests = render("defaults", *SCALED)
    (trigger,) = named(manifests, "ScaledObject")["captions"]["spec"]["triggers"]

    assert "vllm:num_requests_waiting" in trigger["metadata"]["query"]
    assert {type(it) for it in trigger["metadata"].values()} == {str}
    assert "replicas" not in named(manifests, "Deployment")["captions"]["spec"]


def test_its_key_is_a_reference() -> None:
    made = container(pods(render("defaults", *SCALED))["captions"])

    held = {it["name"]: it.get("valueFrom") for it in made["env"]}
    assert held["VLLM_API_KEY"] == {"secretKeyRef": {"name": "vllm", "key": "key"}}


def test_a_network_policy_lets_workers_reach_it_and_it_the_hub() -> None:
    policies = named(render("hardened", *ON), "NetworkPolicy")

    inside, internet = policies[""]["spec"], policies["internet"]["spec"]
    assert [it["port"] for rule in inside["ingress"] for it in rule["ports"]] == [8080, 8000, 8090]
    assert 8000 in [it["port"] for rule in inside["egress"] for it in rule["ports"]]
    assert internet["podSelector"]["matchExpressions"][0]["values"][-1] == "captions"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("captionServer.enable=true", "'enable' not allowed"),
        ("captionServer.minReplicas=0", "/captionServer/minReplicas"),
        ("captionServer.apiKey.secret=x", "'key' required"),
        ("settings.recaption.openai.api_key=x", "/settings/recaption/openai/api_key"),
    ],
)
def test_wrong_values_are_refused_and_named(wrong: str, said: str) -> None:
    made = helm("template", "kaption", "deploy/helm/kaption", "--set", wrong)

    assert made.returncode != 0
    assert said in made.stderr
