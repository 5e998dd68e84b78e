"""`make pods`: the chart's pods on a node of Kubernetes, with the images and servers of Compose.

The chart is installed and tested. While the pairs of the demo's crawl flow, the node is drained
and the chart is upgraded and rolled back. At the end each pair must have exactly one outcome, and
the shards must hold the clean ones. The servers are pods too; the node and all that it runs end
with this program.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tools.platform.cluster import cluster
from tools.platform.commands import Commands
from tools.platform.engine import engine
from tools.platform.images import COUNT, PAIRS, TARGETS, make
from tools.platform.node import NAME, Node, inside, missing
from tools.platform.programs import CHART, ROOT, etcd, kubernetes

PAUSE = "registry.k8s.io/pause:3.10"
"""Holds the network of a pod; deploy/platform/node/containerd.toml names it too."""
SERVERS = ("kafka", "valkey", "seaweedfs")
VALUES = ROOT / "deploy" / "platform" / "node" / "values.yaml"
_NAMES = [*SERVERS, "images.demo"]
_OURS, _THEIRS = "crawl", "servers"
_RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
_ALL = "app.kubernetes.io/name=kaption"
_CHANGED = "settings.runtime.grace_s=20"
_START_S, _OUTCOMES_S, _DRAIN_S = 900, 900, 90


class Pods:
    """Runs kubectl and Helm against the node's cluster."""

    def __init__(self, config: Path, helm: Path, services: dict[str, dict[str, Any]]) -> None:
        self._commands = Commands({"KUBECONFIG": str(config)})
        self._helm = helm
        self._services = services

    def serves(self) -> None:
        """Start the servers, and make the namespaces, the bucket and the Secret."""
        for name in (_OURS, _THEIRS):
            self._run("kubectl", "create", "namespace", name)
        self._run("kubectl", "label", "namespace", _OURS, _RESTRICTED)
        for what in (f"node/{NAME}", *(f"sa/default -n {name}" for name in (_OURS, _THEIRS))):
            self._run("kubectl", "wait", "--for=create", *what.split(), "--timeout=120s")
        for name in SERVERS:
            self._starts(name)
        self._starts("bucket", until="jsonpath={.status.phase}=Succeeded")
        store = self._services["bucket"]["environment"]
        keys = ("create", "secret", "generic", "kaption-store")
        access = f"--from-literal=access-key={store['AWS_ACCESS_KEY_ID']}"
        secret = f"--from-literal=secret-key={store['AWS_SECRET_ACCESS_KEY']}"
        self._chart(*keys, access, secret)

    def installs(self) -> None:
        """Install the chart, and run its test."""
        began = time.monotonic()
        self._run(self._helm, "install", "kaption", CHART, "-n", _OURS, "-f", VALUES)
        self._rolled()
        topics = ("job", "-l", "app.kubernetes.io/component=topics")
        self._chart("wait", "--for=condition=complete", *topics, f"--timeout={_START_S}s")
        print(f"pods: ready {time.monotonic() - began:.0f} s after `helm install`", flush=True)
        said = self._run(self._helm, "test", "kaption", "-n", _OURS, "--logs")
        print(f"pods: `helm test`: {said.count('ok ')} checks passed", flush=True)

    def publishes(self) -> None:
        """Start the demo's crawl, which publishes its pairs."""
        self._starts("crawl")

    def drains(self) -> None:
        """Drain the node, which keeps the one of two ingest workers that the budget protects."""
        limit = f"--timeout={_DRAIN_S}s"
        drain = ("drain", NAME, "--delete-emptydir-data", f"--pod-selector={_ALL}", limit)
        ended = self._commands.tries("kubectl", *drain)
        running = ("get", "pods", "-l", _ALL, "--field-selector=status.phase=Running", "-o=name")
        left = self._chart(*running).split()
        kept = len(left) == 1 and left[0].startswith("pod/kaption-ingest-")
        if not kept or "violate the pod's disruption budget" not in ended.stdout:
            sys.exit(f"after the drain {left} run:\n{ended.stdout[-3000:]}")
        counted = self._count()[0]
        print(
            f"pods: `kubectl drain` left one worker of ingest; then {counted} of {PAIRS} pairs had "
            "an outcome",
            flush=True,
        )
        self._run("kubectl", "uncordon", NAME)
        self._rolled()

    def upgrades(self) -> None:
        """Change a setting of all pods."""
        self._replaces("upgrade", CHART, "-f", VALUES, "--set", _CHANGED)

    def rolls_back(self) -> None:
        """Take the change back."""
        self._replaces("rollback", "1")

    def judges(self) -> None:
        """Wait until each pair has an outcome and each clean pair is in a shard."""
        began = time.monotonic()
        while True:
            counted = outcomes, pairs, clean, sharded = self._count()
            if outcomes == pairs == PAIRS and clean == sharded:
                break
            if outcomes != pairs or time.monotonic() - began > _OUTCOMES_S:
                sys.exit(f"outcomes, pairs with one, clean pairs, pairs in shards: {counted}")
            time.sleep(5)
        print(f"pods: {PAIRS} pairs with one outcome each, {clean} clean ones, all in shards")

    def state(self) -> str:
        """Return what kubectl tells of pods and of what happened to them."""
        told = (("get", "pods", "-A", "-o=wide"), ("get", "events", "-A"))
        return "\n".join(self._commands.tries("kubectl", *each).stdout[-6000:] for each in told)

    def _replaces(self, verb: str, *rest: str | Path) -> None:
        before, began = self._count()[0], time.monotonic()
        self._run(self._helm, verb, "kaption", *rest, "-n", _OURS)
        self._rolled()
        took, after = time.monotonic() - began, self._count()[0]
        print(
            f"pods: `helm {verb}` replaced every worker in {took:.0f} s; before {before} and then "
            f"{after} of {PAIRS} pairs had an outcome",
            flush=True,
        )

    def _starts(self, service: str, until: str = "condition=Ready") -> None:
        pod = json.dumps(_pod(service, self._services[service]))
        self._run("kubectl", "apply", "-f", "-", given=pod)
        wait = ("-n", _THEIRS, "wait", f"pod/{service}", f"--for={until}", f"--timeout={_START_S}s")
        self._run("kubectl", *wait)

    def _count(self) -> tuple[int, ...]:
        ask = ("-n", _THEIRS, "exec", "crawl", "--", "python", "-c", COUNT)
        return tuple(map(int, self._run("kubectl", *ask).splitlines()[-1].split()))

    def _rolled(self) -> None:
        self._chart("rollout", "status", "deployment", "-l", _ALL, f"--timeout={_START_S}s")

    def _chart(self, *arguments: str) -> str:
        return self._run("kubectl", "-n", _OURS, *arguments)

    def _run(self, *command: str | Path, given: str = "") -> str:
        return self._commands.run(*command, given=given)


def _pod(name: str, service: dict[str, Any]) -> dict[str, Any]:
    """A service of docker-compose.yml as a pod at the node's address."""
    container: dict[str, Any] = {"name": name, "image": service["image"]}
    container["env"] = [
        {"name": key, "value": str(value)} for key, value in service.get("environment", {}).items()
    ]
    for key, given in (("command", "entrypoint"), ("args", "command")):
        if given in service:
            container[key] = service[given]
    # A pod that requests nothing gets next to nothing where others are busy.
    cpu = "500m" if name == "kafka" else "100m"
    container["resources"] = {"requests": {"cpu": cpu, "memory": "100Mi"}}
    if "healthcheck" in service:
        _, *check = (word.replace("$$", "$") for word in service["healthcheck"]["test"])
        container["readinessProbe"] = {"exec": {"command": check}, "timeoutSeconds": 10}
    spec = {"hostNetwork": True, "restartPolicy": "OnFailure", "containers": [container]}
    labels = {"namespace": _THEIRS, "name": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": spec}


def _try_all(folder: Path) -> None:
    """Run every check on a new node; the first one that fails ends the program."""
    from support.chart import program
    from support.compose import SERVICES

    program("kubectl")
    os.environ["PATH"] = f"{program('helm').parent}:{os.environ['PATH']}"
    node = Node(folder)
    node.takes()
    with cluster() as config:
        node.starts(config, _NAMES)
        pods = Pods(config, program("helm"), SERVICES)
        try:
            pods.serves()
            pods.installs()
            pods.publishes()
            pods.drains()
            pods.upgrades()
            pods.rolls_back()
            pods.judges()
        except SystemExit:
            print(f"{node.logs()}\n{pods.state()}", flush=True)
            raise


def main() -> None:
    """Build images and programs, then start this program again as the first one of a node."""
    sys.path.insert(0, str(ROOT / "tests"))
    if sys.argv[1:]:
        _try_all(Path(sys.argv[1]))
        return
    from support.compose import SERVICES

    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit ends the node too
    with engine(networks=False) as docker:
        lacks = missing() + ([] if docker else ["docker.io"])
        if docker is None or lacks:
            print(f"pods: not tried. A node needs {', '.join(lacks)} (Debian's packages)")
            return
        etcd()  # the node has no way to download it
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"):
            kubernetes(name)
        servers = {name: SERVICES[name]["image"] for name in SERVERS} | {"pause": PAUSE}
        make(docker, servers)
        command = [sys.executable, "-m", "tools.platform.pods"]
        inside(command, docker, [*TARGETS.values(), *servers.values()])
    print(f"the pods took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
