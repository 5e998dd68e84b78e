"""Sets of values for clouds and for Strimzi, and the chart's README."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

import chart_docs
from kaption.schemas import TOPICS
from kaption.workers.cli.acls import Grant, grants, merged
from kaption.workers.cli.app import app
from kaption.workers.wiring import STAGES
from support.chart import ROOT, container, named, pods, render, settings

DEFINITIONS = sorted((ROOT / "deploy" / "platform" / "strimzi").glob("*.yaml"))
PREFIXES = ["", "crawl-", "Crawl_7."]
KINDS = {"transactionalId": "transactional-id"}
PATTERNS = {"prefix": "prefixed"}


def strimzi(*options: str, prefix: str = "", replicas: int = -1) -> dict[str, list[dict[str, Any]]]:
    """What the command prints, by kind."""
    variables = {
        "KAPTION_KAFKA__TOPIC_PREFIX": prefix,
        "KAPTION_KAFKA__REPLICATION_FACTOR": str(replicas),
    }
    command = ("topics", "strimzi", "--cluster", "my-cluster", *options)
    done = CliRunner().invoke(app, command, env=variables, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    items = json.loads(done.stdout)["items"]
    return {
        kind: [it for it in items if it["kind"] == kind] for kind in ("KafkaTopic", "KafkaUser")
    }


def strict(schema: Any) -> Any:
    """The same schema that takes no unknown field, as `kubectl apply --validate=strict` does."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(it) for key, it in schema.items()}
    # `metadata` has no fields in a definition: Kubernetes knows them.
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("prefix", PREFIXES)
def test_manifests_for_strimzi_are_valid(prefix: str) -> None:
    made = strimzi(prefix=prefix, replicas=3)

    for path in DEFINITIONS:
        spec = yaml.safe_load(path.read_text("utf-8"))["spec"]
        (version,) = spec["versions"]
        schema = strict(version["schema"]["openAPIV3Schema"])
        for it in made[spec["names"]["kind"]]:
            assert it["apiVersion"] == f"{spec['group']}/{version['name']}"
            jsonschema.validate(it, schema)
    names = [it["metadata"]["name"] for items in made.values() for it in items]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() and "_" not in name for name in names)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_strimzi_gets_the_topics_and_rights_of_the_code(prefix: str) -> None:
    made = strimzi(prefix=prefix)

    topics = {it["spec"]["topicName"]: it["spec"] for it in made["KafkaTopic"]}
    assert {name: (it["partitions"], it["config"]) for name, it in topics.items()} == {
        prefix + it.name: (it.partitions, it.config()) for it in TOPICS
    }
    assert not any("replicas" in it for it in topics.values())  # the brokers' default
    rights = {
        it["metadata"]["name"].removeprefix("kaption-"): {
            Grant(
                KINDS.get(acl["resource"]["type"], acl["resource"]["type"]),
                acl["resource"]["name"],
                tuple(acl["operations"]),
                PATTERNS.get(acl["resource"]["patternType"], "literal"),  # type: ignore[arg-type]  # two literals
            )
            for acl in it["spec"]["authorization"]["acls"]
        }
        for it in made["KafkaUser"]
    }
    assert rights == {name: set(merged(each)) for name, each in grants(prefix).items()}


def test_users_may_log_in_by_certificates_and_be_chosen() -> None:
    (user,) = strimzi("--authentication", "tls", "sink")["KafkaUser"]

    assert user["metadata"]["name"] == "kaption-sink"
    assert user["spec"]["authentication"] == {"type": "tls"}


def test_pods_log_in_as_the_users_that_strimzi_makes() -> None:
    manifests = render("strimzi")
    made = {it["metadata"]["name"] for it in strimzi()["KafkaUser"]}

    for component, pod in pods(manifests).items():
        user = settings(manifests, component).kafka.username
        (password,) = (
            it["valueFrom"]["secretKeyRef"]
            for it in container(pod)["env"]
            if it["name"] == "KAPTION_KAFKA__PASSWORD"
        )
        assert password == {"name": user, "key": "password"}  # as the operator names them
        assert user in made, component
        part = component.removeprefix("command-").removeprefix("doctor-")
        assert user == f"kaption-{part}"
    assert not named(manifests, "Job")  # the operator makes the topics


def test_pods_on_aws_reach_s3_by_a_role_and_without_keys() -> None:
    manifests = render("aws")

    assert list(named(manifests, "ServiceAccount")[""]["metadata"]["annotations"]) == [
        "eks.amazonaws.com/role-arn"
    ]
    for stage in STAGES:
        store = settings(manifests, stage).store
        assert (store.access_key, store.secret_key, store.endpoint) == (None, None, None)
        assert store.region == "eu-central-1"


@pytest.mark.parametrize("values", ["gcp", "azure", "own-s3"])
def test_elsewhere_pods_reach_an_s3_server_of_the_cluster_by_keys(values: str) -> None:
    store = settings(render(values), "sink").store

    assert store.endpoint
    assert store.access_key == "secret"
    assert store.secret_key


def test_the_readme_of_the_chart_is_generated_from_the_present_values() -> None:
    assert chart_docs.DOCUMENT.read_text("utf-8") == chart_docs.document(), (
        f"run `{chart_docs.COMMAND}` and commit the change"
    )


def test_the_readme_of_the_chart_lists_every_value_and_every_set() -> None:
    text = chart_docs.document()
    values = yaml.safe_load((chart_docs.CHART / "values.yaml").read_text("utf-8"))

    for name in values:
        assert f"| `{name}" in text
    for path in (chart_docs.CHART / "ci").glob("*.yaml"):
        assert f"(ci/{path.name})" in text
