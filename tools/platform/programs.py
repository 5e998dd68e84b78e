"""The programs and definitions that the checks need, fetched or built once and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "kaption"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kaption"
VERSION = "1.34.3"
"""Of Kubernetes, as deploy/platform/go.mod has it."""
OPERATORS = {
    "github.com/kedacore/keda/v2@v2.18.1": "config/crd/bases",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd"
    ),
}
"""Modules with the definitions of the kinds that the chart uses, and where they are in them."""
_ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
_KINDS = {
    *("scaledobjects", "triggerauthentications", "cloudeventsources"),
    *("podmonitors", "prometheusrules", "servicemonitors"),
}
_FLAGS = f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"


def kubernetes(name: str) -> Path:
    """Build a program of Kubernetes. The first one takes seven minutes of processor time."""
    program = CACHE / f"{name}-{VERSION}"
    if not program.exists():
        print(f"building {program.name}; this takes minutes, once", flush=True)
        made = program.with_suffix(f".{os.getpid()}")
        build: list[str | Path] = [
            "go",
            "build",
            "-ldflags",
            _FLAGS,
            "-o",
            made,
            f"k8s.io/kubernetes/cmd/{name}",
        ]
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
        folder = CACHE / "platform"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("go.mod", "go.sum"):  # Go writes into both
            (folder / name).write_bytes((ROOT / "deploy" / "platform" / name).read_bytes())
        subprocess.run(build, cwd=folder, env=environment, check=True)
        made.replace(program)
    return program


def etcd() -> Path:
    """Unpack Debian's etcd. Nothing is installed."""
    program = CACHE / "debian" / "etcd-server" / "usr" / "bin" / "etcd"
    if not program.exists():
        folder = CACHE / "debian" / "etcd-server"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", "etcd-server"], cwd=folder, check=True)
        subprocess.run(["sh", "-c", "dpkg -x *.deb ."], cwd=folder, check=True)
    return program


def check_workflows() -> list[str]:
    """Check GitHub's workflows by actionlint, and return their names. Exits where it finds a fault.

    A wheel with actionlint was rejected: it would download the program when it is installed.
    """
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    if subprocess.run(["go", "run", _ACTIONLINT, *workflows], cwd=CACHE, check=False).returncode:
        sys.exit("actionlint finds these faults")
    return [path.name for path in workflows]


def definitions() -> Iterator[Path]:
    """Yield the files that define the kinds of KEDA, of the Prometheus operator and of Strimzi."""
    # Strimzi is no Go module, so its two files are kept here.
    yield from sorted((ROOT / "deploy" / "platform" / "strimzi").glob("*.yaml"))
    for module, folder in OPERATORS.items():
        asked = subprocess.run(
            ["go", "mod", "download", "-json", module],
            cwd=CACHE,
            check=True,
            capture_output=True,
            text=True,
        )
        found = sorted((Path(json.loads(asked.stdout)["Dir"]) / folder).glob("*.yaml"))
        yield from (path for path in found if path.stem.rpartition("_")[2] in _KINDS)
