"""One node of Kubernetes, in namespaces of Linux that end with it.

Processes, mounts and networks of the node are in namespaces of their own. When its first process
ends, however it does, the kernel ends and removes them all. Only control groups and files are left
to remove. A node on the machine itself was rejected: a run that is killed would leave pods behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tools.platform.engine import Docker
from tools.platform.programs import CACHE, ROOT, kubernetes

NAME = "localhost"
"""The node's. The API server must be able to look it up, for logs and exec."""
ADDRESS = "10.99.0.1"
IMAGES = CACHE / "node"
"""Kept, because it takes minutes to write them."""
_IDS = IMAGES / "ids"
_SETTINGS = ROOT / "deploy" / "platform" / "node"
_HOME = Path("/run/node")
_GROUP = "kaption-node"
_PACKAGES = {
    "/usr/bin/containerd": "containerd",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/sbin/dnsmasq": "dnsmasq-base",
    "/usr/sbin/ip": "iproute2",
}
_WEIGHT = 8
"""As how many processes of this machine all pods count. The kernel takes a group for one."""
_NAMESPACES = ("--net", "--mount", "--mount-proc", "--pid", "--ipc", "--fork", "--kill-child")
_KERNEL = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops")
"""What the kubelet would change for the whole machine."""
_START_S = 120


def missing() -> list[str]:
    """Return what a node needs and this machine does not have."""
    root = ["root's rights"] if os.geteuid() else []
    return root + [package for path, package in _PACKAGES.items() if not Path(path).exists()]


def inside(command: list[str], docker: Docker, images: list[str]) -> None:
    """Run a command as the first process of new namespaces; exits as it does.

    Where the node has other images, it gets those of Docker by its input.
    """
    IMAGES.mkdir(parents=True, exist_ok=True)
    wanted = docker.run("docker", "image", "inspect", "--format={{.Id}}", *images)
    if _IDS.exists() and _IDS.read_text() != wanted:
        _IDS.unlink()
    with tempfile.TemporaryDirectory(prefix="node-", dir=CACHE) as folder, ExitStack() as stack:
        (Path(folder) / _IDS.name).write_text(wanted)
        saved = None if _IDS.exists() else stack.enter_context(docker.saves(*images)).stdout
        groups = [Path(base) / _GROUP for base in _control_groups()]
        for group in groups:
            group.mkdir(exist_ok=True)
            if (group / "cpu.shares").exists():
                (group / "cpu.shares").write_text(f"{_WEIGHT * 1024}")
        try:
            isolated = ["unshare", *_NAMESPACES, *command, folder]
            ended = subprocess.run(isolated, stdin=saved, check=False).returncode
        finally:
            for group in groups:
                _remove(group)
    if ended:
        sys.exit(ended)


def _control_groups() -> list[str]:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [where for _, where, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}]


def _remove(group: Path) -> None:
    # It is busy until the kernel has ended the last process in it.
    deadline = time.monotonic() + _START_S
    while group.exists():
        try:
            for path, _, _ in os.walk(group, topdown=False):
                Path(path).rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


class Node:
    """Runs in the new namespaces. Its files are in one folder, which is mounted at /run/node."""

    def __init__(self, folder: Path) -> None:
        _mount("--make-rshared", "/")
        _mount("-t", "tmpfs", "tmpfs", "/run")
        for place, source in ((_HOME, folder), (Path("/run/images"), IMAGES)):
            place.mkdir()
            _mount("--bind", source, place)
        # The network plug-ins and the kubelet write into fixed folders below /var.
        for name in ("upper", "work"):
            (Path("/run") / name).mkdir()
        layers = "lowerdir=/var,upperdir=/run/upper,workdir=/run/work"
        _mount("-t", "overlay", "-o", layers, "overlay", "/var")
        for name in _KERNEL:
            own, kernels = Path("/run", name.replace("/", "-")), Path("/proc/sys", name)
            own.write_text(kernels.read_text())
            _mount("--bind", own, kernels)
        shutil.copytree(_SETTINGS, _HOME / "settings")
        tempfile.tempdir = str(_HOME)  # for all that this process starts
        for command in (
            "link set lo up",
            "link add node0 type veth peer name node1",
            f"addr add {ADDRESS}/24 dev node0",
            "link set node0 up",
            "link set node1 up",
            "route add default dev node0",  # the API server looks for one
        ):
            subprocess.run(["ip", *command.split()], check=True)

    def takes(self) -> None:
        """Start containerd, and give it the images that come from the input, unless it has them."""
        began = time.monotonic()
        self._start("containerd", "--config", _HOME / "settings" / "containerd.toml")
        asked = ["ctr", "--namespace=k8s.io", "images"]
        while subprocess.run([*asked, "ls", "-q"], capture_output=True, check=False).returncode:
            if time.monotonic() - began > _START_S:
                sys.exit(f"containerd does not start:\n{self.logs()}")
            time.sleep(1)
        if not _IDS.exists():
            self._forgets(asked)
            subprocess.run([*asked, "import", "-"], check=True, stdout=subprocess.DEVNULL)
            shutil.copy(_HOME / _IDS.name, _IDS)
        print(f"the node has its images after {time.monotonic() - began:.0f} s", flush=True)

    def _forgets(self, images: list[str]) -> None:
        """Take the names of ids from earlier images, which their tags are about to leave.

        Each keeps its layers for ever. containerd removes what has no name when it starts again.
        """
        listed = subprocess.run([*images, "ls", "-q"], capture_output=True, text=True, check=True)
        ids = [name for name in listed.stdout.split() if name.startswith("sha256:")]
        for name in ids:
            subprocess.run([*images, "rm", name], check=True, stdout=subprocess.DEVNULL)

    def starts(self, config: Path, names: list[str]) -> None:
        """Start what a node and pods need. The names resolve to the node in all pods."""
        self._start("kube-controller-manager", "--kubeconfig", config, "--leader-elect=false")
        self._start("kube-scheduler", "--kubeconfig", config, "--leader-elect=false")
        # What it does not know is unknown, as in the DNS of a cluster. Without an answer a pod
        # would wait.
        known = f"--address=/{'/'.join(names)}/{ADDRESS}"
        options = ["--no-resolv", "--no-hosts", "--bind-interfaces", "--conf-file=/dev/null"]
        options += ["--keep-in-foreground", "--user=root", f"--listen-address={ADDRESS}"]
        self._start("dnsmasq", *options, "--address=/#/", known)
        where: list[str | Path] = ["--root-dir", _HOME / "kubelet"]
        where += ["--cert-dir", _HOME / "certificates"]
        where += ["--kubeconfig", config, f"--hostname-override={NAME}", f"--node-ip={ADDRESS}"]
        self._start("kubelet", "--config", _HOME / "settings" / "kubelet.yaml", *where)

    def logs(self) -> str:
        """Return the last lines of every log."""
        logs = sorted(_HOME.glob("*.log"))
        return "\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in logs)

    def _start(self, name: str, *options: str | Path) -> None:
        program: str | Path = kubernetes(name) if name.startswith("kube") else name
        with (_HOME / f"{name}.log").open("wb") as log:
            subprocess.Popen([program, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _mount(*options: str | Path) -> None:
    subprocess.run(["mount", *options], check=True)
