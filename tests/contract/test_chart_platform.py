"""What a platform team adds to the chart's pods, and commands that run in pods of their own."""

import json
from typing import Any

from kaption.workers.wiring import STAGES
from support.chart import CHART, container, helm, named, pods, render, settings


def test_labels_annotations_variables_and_volumes_reach_every_stage() -> None:
    manifests = render("platform")
    for stage, it in named(manifests, "Deployment").items():
        pod = it["spec"]["template"]
        ours = container(pod["spec"])
        assert pod["metadata"]["labels"]["team"] == "data"
        assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        assert "team" not in it["spec"]["selector"]["matchLabels"]  # it can never change
        assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in ours["env"]
        assert "/etc/company" in [each["mountPath"] for each in ours["volumeMounts"]], stage
        assert "certificates" in [each["name"] for each in pod["spec"]["volumes"]]
        # OpenShift chooses user and group.
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["spec"]["securityContext"].keys()
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True


def test_a_stage_may_have_its_own_image_gpu_runtime_and_sidecar() -> None:
    made = pods(render("platform"))
    recaption = container(made["recaption"])

    assert recaption["image"] == "registry.example.org/kaption-own:0.1.0-gpu"
    assert recaption["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert [it["key"] for it in made["recaption"]["tolerations"]] == ["nvidia.com/mig-1g.10gb"]
    assert made["recaption"]["runtimeClassName"] == "nvidia"
    assert {name for name in STAGES if "runtimeClassName" in made[name]} == {"recaption"}
    assert [it["name"] for it in made["ingest"]["containers"]] == ["kaption", "proxy"]
    assert len(made["score"]["containers"]) == 1


def test_what_a_stage_adds_joins_what_all_pods_have() -> None:
    # Given a class of runtimes for all pods, and additions of one stage beside those for all
    volume = {"name": "own", "emptyDir": {}}
    added: dict[str, Any] = {
        "extraEnv": [{"name": "OWN", "value": "1"}],
        "extraVolumes": [volume],
        "extraVolumeMounts": [{"name": "own", "mountPath": "/own"}],
        "podLabels": {"tier": "own"},
        "podAnnotations": {"note": "own"},
    }
    options = ("--set-json", f"stages.score={json.dumps(added)}", "--set", "runtimeClassName=kata")
    manifests = render("platform", *options)
    # When the pods are rendered
    templates = {
        stage: it["spec"]["template"] for stage, it in named(manifests, "Deployment").items()
    }
    score, sink = templates["score"], templates["sink"]
    # Then the stage has both, and another one those of all pods
    variables = container(score["spec"])["env"]
    assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in variables
    assert added["extraEnv"][0] in variables
    assert volume in score["spec"]["volumes"]
    mounted = {it["name"] for it in container(score["spec"])["volumeMounts"]}
    assert {"own", "certificates"} <= mounted
    assert score["metadata"]["labels"].items() >= {"team": "data", "tier": "own"}.items()
    assert score["metadata"]["annotations"]["note"] == "own"
    assert score["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    assert score["spec"]["runtimeClassName"] == "kata"
    assert templates["recaption"]["spec"]["runtimeClassName"] == "nvidia"
    assert "own" not in json.dumps(sink)


def test_pods_of_jobs_and_commands_have_what_all_pods_have() -> None:
    manifests = render("platform")
    jobs = [it["spec"]["template"] for it in named(manifests, "Job").values()]
    jobs += [
        it["spec"]["jobTemplate"]["spec"]["template"] for it in named(manifests, "CronJob").values()
    ]

    assert len(jobs) == 4
    for it in jobs:
        assert it["metadata"]["labels"]["team"] == "data"
        assert it["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
        assert {"name": "HTTPS_PROXY", "value": "http://proxy:3128"} in container(it["spec"])["env"]


def test_commands_have_their_own_user_and_account_and_the_small_image() -> None:
    manifests = render("platform")
    jobs = named(manifests, "CronJob")
    takedown = pods(manifests)["command-takedown"]

    assert jobs.keys() == {"takedown", "compact", "replay"}
    assert settings(manifests, "command-takedown").kafka.username == "kaption-takedown"
    assert settings(manifests, "command-compact").kafka.username is None
    assert takedown["serviceAccountName"] == "kaption-takedown"
    assert container(takedown)["image"] == "kaption:0.1.0-tools"
    assert container(pods(manifests)["topics"])["image"] == "kaption:0.1.0-tools"
    # One without a schedule is a template and never starts by itself.
    assert {name: it["spec"]["suspend"] for name, it in jobs.items()} == {
        "takedown": False,
        "compact": False,
        "replay": True,
    }
    assert not named(render("defaults"), "CronJob")


def test_a_command_of_ones_own_needs_no_more_than_its_arguments() -> None:
    wanted = "commands.table.enabled=true,commands.table.args={table}"
    made = container(pods(render("defaults", "--set", wanted))["command-table"])

    assert (made["args"], made["resources"]) == (["table"], {})
    refused = helm("template", "kaption", str(CHART), "--set", "commands.table.enabled=true")
    assert "missing property 'args'" in refused.stderr


def test_one_command_runs_at_a_time_and_is_not_started_again_for_ever() -> None:
    for it in named(render("platform"), "CronJob").values():
        assert it["spec"]["concurrencyPolicy"] == "Forbid"
        assert it["spec"]["jobTemplate"]["spec"]["backoffLimit"] <= 2
