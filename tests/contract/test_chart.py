"""deploy/helm/kaption renders to manifests that Kubernetes, KEDA and Prometheus accept."""

import json
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import settings_docs
from kaption.workers.settings import Settings
from support.chart import (
    CHART,
    KUBERNETES,
    ROOT,
    VALUES,
    Manifest,
    helm,
    render,
    settings,
    template,
    values_option,
)

GOLDEN = Path(__file__).parent / "chart.defaults.yaml"
SCHEMA: Manifest = json.loads((CHART / "values.schema.json").read_text("utf-8"))
MODELS = {
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
}
OWN = [(values, it) for values in VALUES for it in render(values) if it["apiVersion"] not in MODELS]
THEIRS = [(values, it) for values in VALUES for it in render(values) if it["apiVersion"] in MODELS]


def _title(it: object) -> str:
    match it:
        case {"kind": kind, "metadata": {"name": name}}:
            return f"{kind}-{name}"
    return str(it)


@pytest.mark.parametrize("values", VALUES)
def test_helm_lint_finds_nothing(values: str) -> None:
    linted = helm("lint", "--strict", str(CHART), *values_option(values))

    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.parametrize(("values", "manifest"), OWN, ids=_title)
def test_manifests_of_kubernetes_are_valid(values: str, manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize(("values", "manifest"), THEIRS, ids=_title)
def test_manifests_of_operators_are_valid(values: str, manifest: Manifest) -> None:
    model = getattr(import_module(MODELS[manifest["apiVersion"]]), manifest["kind"])

    read = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)

    # The models ignore unknown fields, so a misspelt field would be missing here.
    assert read == manifest


def test_every_kind_of_the_operators_is_rendered() -> None:
    assert {it["kind"] for _, it in THEIRS} == {
        "ScaledObject",
        "TriggerAuthentication",
        "ServiceMonitor",
        "PodMonitor",
        "PrometheusRule",
    }


def test_the_default_values_render_as_committed() -> None:
    command = f"helm template kaption {CHART.relative_to(ROOT)} --kube-version {KUBERNETES}"

    assert template("defaults") == GOLDEN.read_text("utf-8"), (
        f"if the change is intended, run: {command} > {GOLDEN}"
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("settings.kafka.password=x", "/settings/kafka/password"),
        ("settings.redis.url=redis://kaption:x@redis:6379", "/settings/redis/url"),
        ("settings.redis.url=redis://:x/y@redis:6379", "/settings/redis/url"),
        ("settings.redis.url=redis://redis:6379?password=x", "/settings/redis/url"),
        ("stages.score.settings.store.secret_key=x", "/stages/score/settings/store/secret_key"),
        ("settings.recaptoin.batch_records=1", "'recaptoin' not allowed"),
        ("settings.runtime.grace_s=abc", "/settings/runtime/grace_s"),
        ("settings.score.batch_recrods=5", "'batch_recrods' not allowed"),
        ("stages.recaption.settings.recaption.transformers.modle=x", "'modle' not allowed"),
        ("stages.ingest.settings.ingest.image.quality=101", "/ingest/image/quality"),
        ("stages.sink.settings.sink.spool=/tmp", "/stages/sink/settings/sink/spool"),
        ("stages.score.settings.health.port=9000", "/stages/score/settings/health"),
        ("stages.score.gpu=1", "'gpu' not allowed"),
        (r"secrets.redis\.password.secret=only", "missing property 'key'"),
        (r"secrets.redis_password.secret=x,secrets.redis_password.key=x", "redis_password"),
        ("stages.sink.maxReplicas=13,autoscaler=keda", "lower it, or set partitions"),
        ("stages.sink.maxReplicas=13,autoscaler=hpa", "lower it, or set partitions"),
        ("models.fill=true", "models.fill needs a volume"),
        (
            "models.fill=true,models.claim.create=true,"
            "stages.recaption.settings.recaption.transformers.model=Salesforce/blip",
            "set settings.recaption.transformers.model instead",
        ),
        (
            "models.fill=true,models.claim.create=true,stages.select.settings.clip.pretrained=openai",
            "set settings.clip.pretrained instead",
        ),
        ("image.tag=1.0@sha256:abc,stages.score.gpus=1", "set image.gpuTag"),
        ("networkPolicy.enabled=true", "networkPolicy.kafka.to names nobody"),
        (
            r"autoscaler=keda,files.kafka\.oauth_token_file.audience=kafka",
            "name a TriggerAuthentication",
        ),
    ],
)
def test_wrong_values_are_refused_and_named(wrong: str, said: str) -> None:
    made = helm("template", "kaption", str(CHART), "--set", wrong)

    assert made.returncode != 0
    assert said in made.stderr


def test_the_url_of_redis_may_name_a_user() -> None:
    url = "redis://kaption@redis:6379/0"

    assert url in template("defaults", "--set", f"settings.redis.url={url}")


def test_the_schema_is_generated_from_the_present_settings() -> None:
    committed = settings_docs.CHART_SCHEMA.read_text("utf-8")

    assert committed == settings_docs.chart_schema(committed), (
        f"run `{settings_docs.COMMAND}` and commit the change"
    )


@pytest.mark.parametrize(
    ("option", "right"),
    [
        ("--set", "settings.runtime.grace_s=1.5"),
        ("--set", "settings.runtime.dead_letter_rate=null"),
        ("--set", "settings.ingest.text.languages={en,de}"),
        ("--set-string", "settings.runtime.grace_s=45,stages.score.settings.score.batch_records=8"),
        ("--set-string", "settings.ingest.respect_opt_out=false"),
        ("--set-string", r"settings.recaption.captioners=[\"rules\"]"),
    ],
)
def test_settings_may_be_values_or_the_text_of_a_variable(option: str, right: str) -> None:
    made = render("defaults", option, right)

    settings(made, "score")


def test_every_value_is_described() -> None:
    described = {
        path: "description" in it or "description" in _resolved(it)
        for path, it in _properties(SCHEMA, "")
    }

    assert len(described) > 100
    assert not [path for path, has in described.items() if not has]


def test_the_chart_has_the_version_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert chart["appVersion"] == package["version"]


def test_the_schema_has_every_section_of_the_settings() -> None:
    assert list(SCHEMA["$defs"]["settings"]["properties"]) == list(Settings.model_fields)


def _properties(schema: Manifest, path: str) -> Iterator[tuple[str, Manifest]]:
    for name, it in schema.get("properties", {}).items():
        yield f"{path}.{name}", it
        yield from _properties(_resolved(it), f"{path}.{name}")


def _resolved(schema: Manifest) -> Any:
    reference = schema.get("$ref")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else schema
