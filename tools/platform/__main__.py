"""`make cluster`: the chart against a real API server, as far as one goes without a node.

Every set of values is sent to the API server, which validates it strictly, with the definitions of
KEDA, the Prometheus operator and Strimzi, in a namespace that enforces the `restricted` Pod
Security Standard. Then the chart is installed, upgraded and rolled back. The workflow that releases
is checked too, as far as one goes without GitHub.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tools.platform.cluster import cluster
from tools.platform.commands import Commands
from tools.platform.programs import CHART, check_workflows, definitions
from tools.platform.releases import LIVE, Releases

NAMESPACE = "crawl"
"""For objects that are not stored."""
ENFORCED = "pod-security.kubernetes.io/enforce=restricted"
WARNED = "pod-security.kubernetes.io/warn=restricted"


class Checks:
    """Runs kubectl and Helm against one API server."""

    def __init__(self, config: Path, helm: Path) -> None:
        self.run = Commands({"KUBECONFIG": str(config)}).run
        self._helm = helm

    def prepare(self) -> None:
        """Make the namespace and the kinds of the operators."""
        for name in (NAMESPACE, LIVE):
            self.run("kubectl", "create", "namespace", name)
            self.run("kubectl", "label", "namespace", name, ENFORCED, WARNED)
        for account in ("default", "kaption"):  # a pod needs one that is stored
            self.run("kubectl", "create", "serviceaccount", "-n", NAMESPACE, account)
        for path in definitions():
            self.run("kubectl", "apply", "--server-side", "-f", path)
        self.run("kubectl", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")

    def accepts(self, values: Path | None) -> None:
        """Send what the chart renders, to be validated and not to be stored."""
        options = ["-f", str(values)] if values else []
        rendered = self.run(self._helm, "template", "kaption", CHART, "-n", NAMESPACE, *options)
        self._send(values.stem if values else "defaults", rendered)

    def accepts_strimzi(self) -> None:
        """Send the topics and users that `kaption topics strimzi` prints."""
        kaption = Path(sys.executable).with_name("kaption")
        printed = self.run(kaption, "topics", "strimzi", "--cluster", "my-cluster")
        self._send("kaption topics strimzi", printed)

    def _send(self, name: str, manifests: str) -> None:
        apply = ("kubectl", "apply", "--dry-run=server", "--validate=strict", "-n", NAMESPACE)
        said = self.run(*apply, "-f", "-", given=manifests)
        if "would violate PodSecurity" in said:
            sys.exit(f"{name}:\n{said}")
        print(f"{name}: {len(said.splitlines())} objects accepted", flush=True)


def main() -> None:
    """Run every check; the first one that fails ends the program with what it says."""
    sys.path.insert(0, str(CHART.parents[2] / "tests"))
    from support.chart import program

    began = time.monotonic()
    print(f"actionlint finds nothing in {', '.join(check_workflows())}", flush=True)
    # The kubectl beside this Helm, and not another version on this machine.
    program("kubectl")
    os.environ["PATH"] = f"{program('helm').parent}:{os.environ['PATH']}"
    with cluster() as config:
        checks = Checks(config, program("helm"))
        checks.prepare()
        for values in (None, *sorted((CHART / "ci").glob("*.yaml"))):
            checks.accepts(values)
        checks.accepts_strimzi()
        releases = Releases(checks.run, program("helm"))
        releases.autoscalers()
        releases.settings_and_secrets()
    print(f"the platform's checks took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
