"""Metrics that PromQL of dashboards and alerts uses, and metrics that workers export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import promql_parser
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

import kaption.workers

Metric = Counter | Gauge | Histogram
_ROOT = Path(kaption.workers.__file__).parent


def _metrics() -> Iterator[Metric]:
    """Those of every module of the workers that makes some, so that none is forgotten here."""
    for path in sorted(_ROOT.rglob("*.py")):
        if "from prometheus_client import" in path.read_text("utf-8"):
            name = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
            found = vars(import_module(f"kaption.workers.{name}")).values()
            yield from (each for each in found if isinstance(each, Metric))


OURS = list(_metrics())

_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
# Grafana replaces these.
_INTERVALS = re.compile(r"\$__(rate_interval|interval|range)\b")


def exported() -> set[str]:
    """Names in PromQL of all exported metrics: ours, those of the process and of Python."""
    return {
        family.name + suffix
        for family in REGISTRY.collect()
        for suffix in _SUFFIXES.get(family.type, ("",))
    }


def labels() -> set[str]:
    """All labels of our metrics."""
    return {label for each in OURS for label in each._labelnames}


def used(expression: str) -> set[str]:
    """Names of metrics in an expression. Raises ValueError if it is not PromQL."""
    names: set[str] = set()

    def visit(part: promql_parser.Expr) -> bool:
        if isinstance(part, promql_parser.VectorSelector):
            assert part.name, f"{part}: name its metric"
            names.add(part.name)
        return True

    promql_parser.walk(promql_parser.parse(_INTERVALS.sub("5m", expression)), visit)
    return names


def in_dashboard(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """The expressions of a Grafana dashboard, panel by panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
