"""What a release keeps and replaces when it is upgraded and rolled back on the API server."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.platform.programs import CHART

LIVE = "live"
"""The namespace of objects that are stored."""
_CHECKSUM = "checksum/sources"
_FAILED = {
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [
        {"type": kind, "status": "True", "reason": "BackoffLimitExceeded"}
        for kind in ("FailureTarget", "Failed")
    ],
}


class Releases:
    """Installs, upgrades and rolls back. No controller runs, so checks play its part."""

    def __init__(self, run: Callable[..., str], helm: Path) -> None:
        self._run = run
        self._helm = helm

    def autoscalers(self) -> None:
        """Switch an autoscaler on and roll back: pods that run must stay."""
        self._release("install", "stages.recaption.replicas=3")
        self._kubectl("scale", "deployment", "kaption-recaption", "--replicas=5")
        for autoscaler in ("hpa", "keda"):
            self._release("upgrade", f"autoscaler={autoscaler}")
            self._expect(self._replicas() == 5, f"{autoscaler} keeps the pods that run")
        self._rollback("1")
        self._expect(self._replicas() == 3, "a rollback takes the number in the values")
        self._uninstall()

    def settings_and_secrets(self) -> None:
        """Change a setting and a Secret, and let the Job of the topics fail."""
        redis = r"secrets.redis\.password.secret=redis,secrets.redis\.password.key=password"
        other = "settings.clip.model=ViT-B-32"
        self._kubectl("create", "secret", "generic", "redis", "--from-literal=password=before")
        self._release("install", redis)
        first, *more = self._maps()
        self._expect(not more and self._pod_map() == first, "pods name the only map")
        self._replica_set()

        self._release("upgrade", redis, other)
        second = self._pod_map()
        self._expect(self._maps() == {first, second}, "a map stays that a ReplicaSet names")
        before, topics = self._checksum(), self._topics()
        self._release("upgrade", redis, other)
        self._expect(self._checksum() == before, "an upgrade without a change replaces no pod")
        self._expect(self._topics() == topics, "nor a Job")

        self._kubectl("patch", "secret", "redis", "-p", '{"stringData": {"password": "after"}}')
        self._release("upgrade", redis, other)
        self._expect(self._checksum() != before, "a changed Secret replaces pods")
        changed = self._topics()
        self._expect(changed != topics, "and makes a new Job")
        failed = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": _FAILED}))
        self._kubectl("patch", "job", changed, *failed)
        self._release("upgrade", redis, other)
        self._expect(self._topics() != changed, "a Job that failed is made again")

        self._rollback("1")
        self._expect(self._pod_map() == first and first in self._maps(), "a rollback has its map")
        self._kubectl("delete", "replicaset", "old")
        self._release("upgrade", redis, other)
        self._expect(self._maps() == {second}, "a map goes with the last ReplicaSet that names it")
        self._uninstall()

    def _release(self, verb: str, *values: str) -> None:
        sets = [option for it in values for option in ("--set", it)]
        self._run(self._helm, verb, "kaption", CHART, "-n", LIVE, *sets)

    def _rollback(self, revision: str) -> None:
        # Helm 4 applies on the server, where a field may belong to who scaled last.
        self._run(self._helm, "rollback", "kaption", revision, "-n", LIVE, "--force-conflicts")

    def _uninstall(self) -> None:
        self._run(self._helm, "uninstall", "kaption", "-n", LIVE)
        self._expect(not self._maps(), "nothing is left")

    def _kubectl(self, *arguments: str, given: str = "") -> str:
        return self._run("kubectl", "-n", LIVE, *arguments, given=given)

    def _get(self, *what: str) -> Any:
        return json.loads(self._kubectl("get", "-o", "json", *what))

    def _replicas(self) -> int:
        replicas = self._get("deployment", "kaption-recaption")["spec"]["replicas"]
        assert isinstance(replicas, int)
        return replicas

    def _maps(self) -> set[str]:
        maps = self._get("configmap", "-l", "app.kubernetes.io/component=settings")["items"]
        self._expect(all(it["immutable"] for it in maps), "maps are immutable")
        return {it["metadata"]["name"] for it in maps}

    def _template(self) -> Any:
        return self._get("deployment", "kaption-sink")["spec"]["template"]

    def _pod_map(self) -> str:
        (source,) = self._template()["spec"]["containers"][0]["envFrom"]
        return str(source["configMapRef"]["name"])

    def _checksum(self) -> str:
        return str(self._template()["metadata"]["annotations"][_CHECKSUM])

    def _topics(self) -> str:
        (job,) = self._get("job", "-l", "app.kubernetes.io/component=topics")["items"]
        return str(job["metadata"]["name"])

    def _replica_set(self) -> None:
        template = self._template()
        made: dict[str, Any] = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "old", "labels": template["metadata"]["labels"]},
            "spec": {
                "selector": {"matchLabels": template["metadata"]["labels"]},
                "template": template,
            },
        }
        self._kubectl("apply", "-f", "-", given=json.dumps(made))

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            sys.exit(f"not so: {what}")
        print(what, flush=True)
