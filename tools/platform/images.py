"""`make images`: the images are built and tried, and docker-compose.yml is run with them.

With an engine at hand (`docker info`), everything goes into that engine, and images that cannot be
pulled are an error. Where only dockerd is installed, root gets an engine for the time of the run,
and what no registry serves is replaced by a stand-in. Where neither is there, one line says so.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

from tools.platform.engine import FOLDER, Docker, compose, engine
from tools.platform.programs import ROOT

TARGETS = {"tools": "kaption:0.1.0-tools", "worker-cpu": "kaption:0.1.0"}
PYTHON = "python:3.11.14-slim-bookworm"
SERVERS = ("kafka", "valkey", "seaweedfs", "prometheus")
WORKERS = ("ingest", "score", "recaption", "select", "sink")
PROJECT = "kaption-try"
PAIRS = 300
"""What the service `crawl` publishes."""
_CONFINED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
_PORTS = ("KAFKA", "VALKEY", "S3", "AUDIT", "PROMETHEUS", "GRAFANA")
_LABEL = "com.docker.compose.project"
_START_S, _OUTCOMES_S = 900, 600
COUNT = """
from kaption.consumers import TopicReader
from kaption.objectstore import open_store
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.schemas import CleanPair
from kaption.schemas.topics import CLEAN, DEAD, REJECTED
from kaption.workers.settings import load_settings

settings = load_settings(None)
with TopicReader(settings.kafka, [CLEAN, REJECTED, DEAD]) as reader:
    records = [read.record for read in reader]
clean = sum(isinstance(record, CleanPair) for record in records)
shards = read_manifests(open_store(settings.store), settings.sink.prefix)
pairs = {record.pair_id for record in records}
print(len(records), len(pairs), clean, sum(shard.pairs for shard in shards))
"""
"""Tells outcomes, pairs that have one, clean pairs, and pairs in shards. Runs in the image with the
commands."""
_OUTCOMES = (
    'sum(kaption_outcomes_total{outcome=~"rejected|dead"} or kaption_outcomes_total{stage="sink"})'
)


def make(docker: Docker, servers: dict[str, str]) -> None:
    """Get the images of servers, and build both of ours and say what their layers weigh."""
    from tools.platform import standins

    standins.make(docker, {"python": PYTHON} | servers)
    index = os.environ.get("TORCH_INDEX")
    chosen = [] if index is None else [f"--build-arg=TORCH_INDEX={index}"]
    for target, image in TARGETS.items():
        began = time.monotonic()
        command = ["docker", "build", "--network=host", "-f", str(ROOT / "deploy/Dockerfile")]
        docker.run(*command, f"--target={target}", "-t", image, *chosen, str(ROOT))
        shown = docker.run("docker", "history", "--format={{.Size}}\t{{.CreatedBy}}", image)
        copied = re.findall(r"^(\S+)\tCOPY (/\S+)", shown, re.MULTILINE)
        layers = ", ".join(f"{source} {size}" for size, source in reversed(copied[:3]))
        print(f"{image} built in {time.monotonic() - began:.0f} s: {layers}", flush=True)
    if docker.ours:
        # Images of earlier runs, which have no name now. Each run would leave a gigabyte behind.
        docker.run("docker", "image", "prune", "--force")


def try_images(docker: Docker) -> None:
    """Run commands as the images' user, on a root that cannot be written."""
    for image in TARGETS.values():
        run = ["docker", "run", "--rm", "--network=none", *_CONFINED]
        version = docker.run(*run, image, "--version").strip()
        docker.run(*run, image, "doctor", "--no-servers", "--no-models")
        user = docker.run(*run, "--entrypoint=id", image, "-u").strip()
        wrote = docker.tries(*run, "--entrypoint=touch", image, "/opt/kaption/x").returncode == 0
        if user != "10001" or wrote:
            sys.exit(f"{image} runs as {user}, and can write into its root: {wrote}")
        print(f"{image}: {version} as user {user}", flush=True)
    loads = ["doctor", "--no-servers", "--models", "demo"]
    docker.run(*run, image, *loads)
    print(f"{image}: loads the demo's models", flush=True)


class Composed:
    """docker-compose.yml with the demo's crawl, on ports that are free."""

    def __init__(self, docker: Docker, command: list[str | Path]) -> None:
        self._docker = docker
        files = ["-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), "--env-file", os.devnull]
        self._command = [*command, *files, "--profile=demo", "--profile=monitoring"]

    def run(self, *arguments: str) -> str:
        """Run a command of Compose."""
        return self._docker.run(*self._command, *arguments)

    def starts(self) -> None:
        """Start all but Grafana, and wait until the workers are healthy."""
        began = time.monotonic()
        self.run("up", "-d", "--no-build", *WORKERS, "crawl", "prometheus")
        # Not `up --wait`, which ends at the first check that a busy machine answers late.
        healthy = ["docker", "ps", "-q", f"--filter=label={_LABEL}={PROJECT}"]
        healthy.append("--filter=health=healthy")
        while len(self._docker.run(*healthy).split()) < len(WORKERS) + len(SERVERS) + 1:
            if time.monotonic() - began > _START_S:
                sys.exit(f"not everything is healthy:\n{self.run('ps', '-a')}")
            time.sleep(5)
        print(f"compose: healthy after {time.monotonic() - began:.0f} s", flush=True)

    def judges(self) -> None:
        """Wait until each pair of the crawl has an outcome, as Prometheus counts them."""
        began = time.monotonic()
        while (counted := self._asks(_OUTCOMES)) != PAIRS:
            if time.monotonic() - began > _OUTCOMES_S or (counted or 0) > PAIRS:
                sys.exit(f"{counted} of {PAIRS} pairs have an outcome:\n{self.run('logs')[-6000:]}")
            time.sleep(5)
        clean = self._asks('sum(kaption_outcomes_total{stage="sink"})')
        run = ["run", "--rm", "--no-deps", "-T", "--entrypoint=python", "topics", "-c", COUNT]
        told = self.run(*run).splitlines()[-1]
        if told != f"{PAIRS} {PAIRS} {clean:.0f} {clean:.0f}":
            sys.exit(f"outcomes, pairs with one, clean pairs, pairs in shards: {told}")
        print(f"compose: {PAIRS} pairs with one outcome each, {clean:.0f} clean ones", flush=True)
        found = self._asks('count(up{job="kaption"} == 1)')
        lost = re.findall(r"(?i)no such host|server misbehaving", self.run("logs", "prometheus"))
        if found != len(WORKERS) or lost:
            sys.exit(f"Prometheus finds {found} workers and fails to resolve {len(lost)} names")
        print(f"compose: Prometheus finds {found:.0f} workers", flush=True)

    def _asks(self, query: str) -> float | None:
        url = f"--post-data=query={query}"
        ask = ["exec", "-T", "prometheus", "wget", "-qO-", url]
        said = json.loads(self.run(*ask, "http://127.0.0.1:9090/api/v1/query"))
        results = said["data"]["result"]
        return float(results[0]["value"][1]) if results else None

    def ends(self) -> None:
        """Take everything down, and look for what stays."""
        self.run("down", "--timeout=60")
        volumes = self._docker.run("docker", "volume", "ls", "-q").split()
        nameless = [name for name in volumes if re.fullmatch("[0-9a-f]{64}", name)]
        self.run("down", "-v")
        labelled = f"--filter=label={_LABEL}={PROJECT}"
        left = [
            found
            for kind in (["ps", "-a"], ["volume", "ls"], ["network", "ls"])
            for found in self._docker.run("docker", *kind, "-q", labelled).split()
        ]
        if left or (nameless and self._docker.ours):
            sys.exit(f"after `down` these stay: {left}, and volumes without a name: {nameless}")
        print("compose: `down -v` leaves nothing", flush=True)


def main() -> None:
    """Run every check; the first one that fails ends the program with what it says."""
    sys.path.insert(0, str(ROOT / "tests"))
    from kaption.workers.local.server import free_ports
    from support.compose import SERVICES

    began = time.monotonic()
    with engine(networks=False) as docker:
        if docker is None:
            print(
                "images: not tried, as no Docker engine answers. Debian: apt-get install docker.io"
            )
            return
        command = compose()
        make(docker, {name: SERVICES[name]["image"] for name in SERVERS})
        try_images(docker)
    ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
    os.environ.update({f"{name}_PORT": port for name, port in ports.items()})
    os.environ["KAPTION_MODELS"] = "demo"
    with engine(networks=True) as docker:
        assert docker is not None
        composed = Composed(docker, command)
        try:
            composed.starts()
            composed.judges()
            composed.ends()
        finally:
            composed.run("down", "-v")
    print(f"the images took {time.monotonic() - began:.0f} s; {FOLDER} holds them")


if __name__ == "__main__":
    main()
