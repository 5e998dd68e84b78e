"""The Grafana dashboard shows every metric, queries only existing ones, and does not overlap."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support.metrics_in_use import exported, in_dashboard, labels, used

FILE = Path(__file__).parents[2] / "deploy" / "helm" / "kaption" / "files" / "dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
EXPRESSIONS = list(in_dashboard(DASHBOARD))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_panels_use_existing_metrics_and_labels(expression: str) -> None:
    asked = re.findall(r"(?:by|on) \(([^)]*)\)|(\w+)=~?\"", expression)
    named = {label for both in asked for label in re.findall(r"\w+", "".join(both))}

    assert used(expression) <= exported()
    assert named - {"namespace", "le", "instance"} <= labels()  # Prometheus adds these


def test_every_metric_has_a_panel() -> None:
    shown = set().union(*map(used, EXPRESSIONS))

    ours = {name for name in exported() if name.startswith("kaption_")}
    # A histogram has several series and counts once.
    parts = re.compile(r"_(bucket|sum|count)$")
    assert {parts.sub("", name) for name in shown} >= {parts.sub("", name) for name in ours}


def test_rows_group_panels_by_the_operators_question() -> None:
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]

    assert rows == ["Flow", "Delivery", "Compute", "Processes", "Waiting and results"]


def test_panels_show_our_processes_alone() -> None:
    of_any = [it for it in EXPRESSIONS if not all(name.startswith("kaption_") for name in used(it))]

    assert of_any
    # Each Python program exports these too, also those beside ours in the namespace.
    assert all(re.search(r" and on \(instance\) kaption_\w+", it) for it in of_any)


def test_variables_used_in_queries_are_declared() -> None:
    declared = {each["name"] for each in DASHBOARD["templating"]["list"]}
    text = FILE.read_text("utf-8")

    named = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval", "__all"}
    assert named == declared


def test_panels_have_unique_ids_and_do_not_overlap() -> None:
    places = sorted((p["gridPos"]["y"], p["gridPos"]["x"], p["gridPos"]) for p in PANELS)

    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for (_, _, one), (_, _, next_) in pairwise(places):
        beside = one["y"] == next_["y"] and one["x"] + one["w"] <= next_["x"]
        below = one["y"] + one["h"] <= next_["y"]
        assert beside or below
        assert next_["x"] + next_["w"] <= 24
