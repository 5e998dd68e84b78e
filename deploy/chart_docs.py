"""README.md of the Helm chart: its values with defaults and meanings, and its sets of values.

``python deploy/chart_docs.py`` writes it from values.schema.json, values.yaml and ci.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]
CHART = Path(__file__).parent / "helm" / "kaption"
DOCUMENT = CHART / "README.md"
COMMAND = "python deploy/chart_docs.py"
_MANY = {"stages": "STAGE", "commands": "COMMAND"}
"""Tables of values whose entries have the same form, and what stands for the name of an entry."""
_INTRODUCTION = """\
# The chart of Kaption

<!-- Generated from values.schema.json, values.yaml and ci by `{command}`. Do not edit. -->

{description}.
[Kaption in Kubernetes](../../../docs/kubernetes.md) shows how to install and combine what is
listed here.

Needs Kubernetes {kubernetes}, Helm 3 or 4, Kafka, Redis or Valkey, and S3. On request it uses KEDA
2.13 or later, the Prometheus operator, and Grafana's sidecar for dashboards.

## Sets of values

Each is rendered, validated and sent to an API server by the tests. Take what is like yours, and
change the names.

| file | is for |
|---|---|
{sets}

## Values

Helm refuses a value that is not in this list. `settings` takes every setting of
[Settings](../../../docs/settings.md). STAGE is ingest, score, recaption, select or sink; COMMAND is
takedown, compact, replay or a name of yours. Defaults of a stage or command that differ from one to
another are in [values.yaml](values.yaml).

| value | default | meaning |
|---|---|---|
{values}
"""


def document() -> str:
    """The text of README.md."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    schema = json.loads((CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    sets = sorted((CHART / "ci").glob("*.yaml"))
    return _INTRODUCTION.format(
        command=COMMAND,
        description=chart["description"],
        kubernetes=chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0") + " or later",
        sets="\n".join(f"| [{it.stem}](ci/{it.name}) | {_purpose(it)} |" for it in sets),
        values="\n".join(_rows(schema, schema["$defs"], values, "")),
    )


def _purpose(path: Path) -> str:
    """The first sentence of the comment at the head of a set."""
    head = re.match(r"(?:# .*\n)+", path.read_text("utf-8"))
    assert head, path
    text = " ".join(line[2:] for line in head[0].splitlines())
    return text.partition(". ")[0].rstrip(".")


def _rows(schema: Schema, models: Schema, values: Schema | None, path: str) -> Iterator[str]:
    for name, it in schema.get("properties", {}).items():
        if name == "global":
            continue
        default = (values or {}).get(name)
        found = models[it["$ref"].rpartition("/")[2]] if "$ref" in it else {}
        whole = found | it
        full = f"{path}{name}"
        if name in _MANY and not path:
            first = next(iter(whole["properties"].values()))
            same = _common(list((default or {}).values()))
            each = models[first["$ref"].rpartition("/")[2]]
            yield from _rows(each, models, same, f"{full}.{_MANY[name]}.")
        elif "properties" in whole and name != "settings":
            yield from _rows(whole, models, default, f"{full}.")
        else:
            shown = "" if default is None else f"`{json.dumps(default)}`"
            text = whole["description"].replace("|", r"\|")
            yield f"| `{full}` | {shown} | {text} |"


def _common(entries: list[Schema]) -> Schema:
    """What all entries have alike."""
    first, *others = entries
    return {key: it for key, it in first.items() if all(each.get(key) == it for each in others)}


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
