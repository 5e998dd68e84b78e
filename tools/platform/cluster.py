"""An API server with its etcd, on free ports of loopback, in a folder that is deleted."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from kaption.workers.local.server import HOST, free_ports
from tools.platform.programs import etcd, kubernetes

_START_S = 180
_TOKEN = "of-this-machine-alone"  # noqa: S105 - of a server on loopback that lives for a minute


@contextmanager
def cluster() -> Iterator[Path]:
    """Start both; yield the file that tells kubectl and Helm how to reach the API server."""
    programs = [etcd(), kubernetes("kube-apiserver")]
    with TemporaryDirectory(prefix="kaption-platform-") as made:
        folder = Path(made)
        store, peer, port = free_ports(3)
        client = f"http://{HOST}:{store}"
        (folder / "tokens.csv").write_text(f'{_TOKEN},admin,admin,"system:masters"\n')
        subprocess.run(
            ["openssl", "genrsa", "-out", folder / "key.pem", "2048"],
            check=True,
            capture_output=True,
        )
        commands: list[list[str | Path]] = [
            [
                *(programs[0], "--data-dir", folder / "etcd", "--listen-client-urls", client),
                *("--advertise-client-urls", client, "--unsafe-no-fsync"),
                *("--listen-peer-urls", f"http://{HOST}:{peer}"),
                *("--initial-advertise-peer-urls", f"http://{HOST}:{peer}"),
                *("--initial-cluster", f"default=http://{HOST}:{peer}"),
            ],
            [
                *(programs[1], "--etcd-servers", client, "--bind-address", HOST),
                *("--secure-port", str(port), "--cert-dir", folder / "certificates"),
                *("--service-cluster-ip-range", "10.96.0.0/16", "--authorization-mode", "RBAC"),
                *("--service-account-issuer", "https://kubernetes.default.svc"),
                *("--service-account-key-file", folder / "key.pem"),
                *("--service-account-signing-key-file", folder / "key.pem"),
                *("--token-auth-file", folder / "tokens.csv"),
            ],
        ]
        config = folder / "kubeconfig"
        config.write_text(_KUBECONFIG.format(server=f"https://{HOST}:{port}", token=_TOKEN))
        running = []
        try:
            for number, command in enumerate(commands):
                with (folder / f"{number}.log").open("wb") as log:
                    running.append(subprocess.Popen(command, stdout=log, stderr=log))
            _wait(config, folder)
            yield config
        finally:
            for process in reversed(running):
                process.kill()  # nothing is kept, and the API server would wait for its clients
                process.wait()


def _wait(config: Path, folder: Path) -> None:
    deadline = time.monotonic() + _START_S
    asked = ["kubectl", "get", "--raw", "/readyz"]
    environment = os.environ | {"KUBECONFIG": str(config)}
    while subprocess.run(asked, env=environment, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            logs = "".join(log.read_text()[-2000:] for log in sorted(folder.glob("*.log")))
            raise SystemExit(f"the API server does not start:\n{logs}")
        time.sleep(1)


_KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: here, cluster: {{server: "{server}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: here, context: {{cluster: here, user: admin}}}}]
current-context: here
"""
