"""Alerts use existing metrics, labels, commands and settings, and reach Prometheus."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from kaption.workers.runtime import metrics
from kaption.workers.settings import Settings
from support.chart import CHART, named, render
from support.command_line import parse
from support.metrics_in_use import exported, used

ALERTS_TEXT = (CHART / "files" / "alerts.yaml").read_text("utf-8")
DASHBOARD_TEXT = (CHART / "files" / "dashboard.json").read_text("utf-8")
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS_TEXT)["groups"] for rule in group["rules"]
]


LABELS = {
    label
    for it in vars(metrics).values()
    if isinstance(it, (Counter, Gauge, Histogram))
    for label in it._labelnames
}
EACH = pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])


@EACH
def test_alerts_use_existing_metrics_and_labels(rule: dict[str, Any]) -> None:
    asked = re.findall(r"(?:without|ignoring) \(([^)]*)\)|\{(\w+)[=!]", rule["expr"])
    labels = {label for both in asked for label in re.findall(r"\w+", "".join(both))}

    assert used(rule["expr"]) <= exported()
    assert labels - {"instance", "pod"} <= LABELS  # Prometheus adds these two


@EACH
def test_alerts_name_the_stage_and_an_action(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    labels = set(re.findall(r"\$labels\.(\w+)", said["summary"]))

    assert set(said) == {"summary", "action"}
    assert {"stage"} <= labels <= LABELS
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


@EACH
def test_commands_and_settings_named_in_alerts_exist(rule: dict[str, Any]) -> None:
    action = rule["annotations"]["action"]

    for command in re.findall(r"`kaption ([^`]+)`", action):
        parse(command.split())
    for section, name in re.findall(r"\b([a-z]+)\.([a-z]+_[a-z_]+)\b", action):
        assert name in type(getattr(Settings(), section)).model_fields
    for metric in re.findall(r"\bkaption_\w+", action):
        assert {metric, f"{metric}_sum"} & exported()


def test_names_are_unique() -> None:
    names = [rule["alert"] for rule in ALERTS]

    assert len(names) == len(set(names)) >= 10


def test_the_chart_ships_the_alerts_unchanged() -> None:
    rule = named(render("gpu-keda"), "PrometheusRule")[""]

    assert rule["spec"] == yaml.safe_load(ALERTS_TEXT)
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_the_chart_ships_the_dashboard_unchanged() -> None:
    shipped = named(render("gpu-keda"), "ConfigMap")["dashboard"]

    assert shipped["data"] == {"kaption.json": DASHBOARD_TEXT}
    assert shipped["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_the_service_monitor_selects_the_workers() -> None:
    manifests = render("gpu-keda")
    service = named(manifests, "Service")["metrics"]
    monitor = named(manifests, "ServiceMonitor")[""]["spec"]

    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,), (port,) = monitor["endpoints"], service["spec"]["ports"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    for it in named(manifests, "Deployment").values():
        pod = it["spec"]["template"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        assert port["targetPort"] in [p["name"] for p in pod["spec"]["containers"][0]["ports"]]
        assert "prometheus.io/scrape" not in pod["metadata"]["annotations"]  # else scraped twice
    annotations = named(render("defaults"), "Deployment")["sink"]["spec"]["template"]["metadata"]
    assert annotations["annotations"]["prometheus.io/scrape"] == "true"
