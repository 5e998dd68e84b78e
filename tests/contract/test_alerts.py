"""Alerts fire where they must and nowhere else, use what exists, and reach Prometheus."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from kaption.workers.runtime import metrics
from kaption.workers.settings import Settings
from support.chart import CHART, ROOT, helm, named, render
from support.command_line import parse
from support.debian import debian_program
from support.metrics_in_use import exported, used
from support.runbooks import COMMANDS, EXPRESSIONS, NOT_HERE, RUNBOOKS, carried_out

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


CASES = Path(__file__).with_name("alerts.test.yaml")


def promtool(*arguments: str | Path) -> str:
    ended = subprocess.run(
        [debian_program("prometheus", "promtool"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_alerts_fire_where_they_must_and_stay_quiet_where_not(tmp_path: Path) -> None:
    cases = yaml.safe_load(CASES.read_text("utf-8"))
    cases["rule_files"] = [str(CHART / "files" / "alerts.yaml")]
    (tmp_path / "cases.json").write_text(json.dumps(cases), "utf-8")

    promtool("test", "rules", tmp_path / "cases.json")


def test_every_alert_has_a_case_where_it_fires_and_every_kind_one_where_nothing_does() -> None:
    cases = yaml.safe_load(CASES.read_text("utf-8"))["tests"]
    expected = json.dumps([case["promql_expr_test"] for case in cases])

    assert not [rule["alert"] for rule in ALERTS if f'"{rule["alert"]}\\"' not in expected]
    quiet = [case["name"] for case in cases if case["name"].startswith("nothing fires")]
    assert len(quiet) >= 10


@EACH
def test_alerts_use_existing_metrics_and_labels(rule: dict[str, Any]) -> None:
    asked = re.findall(r"\b(?:by|on) \(([^)]*)\)|[{,](\w+)=", rule["expr"])
    labels = {label for both in asked for label in re.findall(r"\w+", "".join(both))}

    assert used(rule["expr"]) <= exported()
    # Prometheus adds the first three.
    assert labels - {"namespace", "instance", "pod", "le"} <= LABELS


@EACH
def test_alerts_name_the_stage_an_action_and_a_runbook(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    labels = set(re.findall(r"\$labels\.(\w+)", said["summary"]))

    assert set(said) == {"summary", "description", "runbook_url"}
    assert labels <= LABELS | {"pod", "instance"}
    assert ("stage" in labels) is (rule["alert"] != "KaptionNothingScraped")
    assert rule["labels"]["severity"] in ("info", "warning", "critical")


@EACH
def test_every_alert_has_its_section_in_the_runbook(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")

    headings = re.findall(r"^### (\w+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert rule["alert"] in headings
    assert anchor == rule["alert"].lower()


def test_the_runbook_has_no_section_of_an_alert_that_does_not_exist() -> None:
    page = (ROOT / "docs" / "operating.md").read_text("utf-8")

    told = re.findall(r"^### (Kaption\w+)$", page, re.MULTILINE)
    assert told == [rule["alert"] for rule in ALERTS]


def test_each_runbook_is_carried_out_by_a_test_with_its_commands() -> None:
    assert carried_out() == RUNBOOKS.keys() == EXPRESSIONS.keys()
    programs = r"(?:kaption|kubectl|kafka-\w+\.sh) "
    for alert, text in RUNBOOKS.items():
        shown = re.findall(rf"`({programs}[^`]+)`|^ +({programs}.+)$", text, re.MULTILINE)
        for command in map("".join, shown):
            assert (command in COMMANDS) is not (command in NOT_HERE), (alert, command)


@EACH
def test_commands_and_settings_named_in_alerts_exist(rule: dict[str, Any]) -> None:
    action = rule["annotations"]["description"]

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
    (group,) = rule["spec"]["groups"]
    first, *others = group["rules"]

    assert others == ALERTS[1:]
    # A metric of another deployment must not hide that this one has none.
    ours = re.sub(r"(kaption_\w+)", r'\1{namespace="default"}', ALERTS[0]["expr"])
    assert first == ALERTS[0] | {"expr": ours}
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_the_thresholds_of_the_values_are_those_of_the_file() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["metrics"]["alerts"]
    named_ = re.findall(r"([0-9.]+) # (\w+)$", ALERTS_TEXT, re.MULTILINE)

    assert {name: float(value) for value, name in named_} == values["thresholds"]


def test_values_change_thresholds_labels_and_switches_of_alerts() -> None:
    alerts = {
        "thresholds.lagRecords": "2500000",
        "thresholds.standing": "0.5",
        "by": "{cluster,namespace}",
        "disabled": "{KaptionBudgetUsedUp}",
        "severities.KaptionStageStands": "page",
        "for.KaptionPartitionsMove": "4h",
        "ruleLabels.team": "data",
        "runbooks": "https://docs.example.org/kaption/",
    }
    options = [
        it for key, value in alerts.items() for it in ("--set", f"metrics.alerts.{key}={value}")
    ]
    (group,) = named(render("gpu-keda", *options), "PrometheusRule")[""]["spec"]["groups"]
    rules = {rule["alert"]: rule for rule in group["rules"]}

    assert "2500000 # lagRecords" in rules["KaptionLagGrows"]["expr"].replace("2.5e+06", "2500000")
    assert "> 0.5 # standing" in rules["KaptionPartitionStands"]["expr"]
    assert "> 900 # standingSeconds" in rules["KaptionPartitionStands"]["expr"]
    assert "by (cluster, namespace, stage)" in rules["KaptionStageStands"]["expr"]
    assert "KaptionBudgetUsedUp" not in rules
    assert rules["KaptionStageStands"]["labels"] == {"severity": "page", "team": "data"}
    assert rules["KaptionPartitionsMove"]["for"] == "4h"
    assert rules["KaptionLagGrows"]["annotations"]["runbook_url"] == (
        "https://docs.example.org/kaption/operating.md#kaptionlaggrows"
    )
    for rule in rules.values():
        used(rule["expr"])  # still PromQL


def test_a_value_for_an_alert_that_does_not_exist_is_refused() -> None:
    wrong = "metrics.alerts.enabled=true,metrics.alerts.disabled={KaptionLagGrow}"
    made = helm("template", "kaption", str(CHART), "--set", wrong)

    assert made.returncode != 0
    assert "there is no such alert" in made.stderr


def test_the_chart_ships_the_dashboard_unchanged() -> None:
    shipped = named(render("gpu-keda"), "ConfigMap")["dashboard"]

    assert shipped["data"] == {"kaption.json": DASHBOARD_TEXT}
    assert shipped["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_a_pod_monitor_selects_the_workers_and_relabels() -> None:
    options = (
        "metrics.podMonitor.enabled=true,metrics.podMonitor.relabelings[0].targetLabel=cluster"
    )
    manifests = render("defaults", "--set", options)
    monitor = named(manifests, "PodMonitor")[""]["spec"]

    (endpoint,) = monitor["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("health", "/metrics")
    assert endpoint["relabelings"] == [{"targetLabel": "cluster"}]
    for it in named(manifests, "Deployment").values():
        pod = it["spec"]["template"]
        assert monitor["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        assert "prometheus.io/scrape" not in pod["metadata"].get("annotations", {})


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
        assert "prometheus.io/scrape" not in pod["metadata"].get(
            "annotations", {}
        )  # else scraped twice
    annotations = named(render("defaults"), "Deployment")["sink"]["spec"]["template"]["metadata"]
    assert annotations["annotations"]["prometheus.io/scrape"] == "true"
