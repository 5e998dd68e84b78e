"""Docker's engine and Compose: those at hand, else ones that are started and built here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.platform.commands import Commands
from tools.platform.programs import CACHE

FOLDER = CACHE / "docker"
"""Holds the images of an engine that this program starts."""
COMPOSE = "2.40.3"
_OLDEST_COMPOSE = (2, 24)
"""The first that reads `env_file` with `required`."""
_START_S = 60


class Docker(Commands):
    """Runs `docker` and Compose against one engine."""

    def __init__(self, variables: dict[str, str], *, ours: bool) -> None:
        super().__init__({"DOCKER_BUILDKIT": "1"} | variables)
        self.ours = ours

    def has(self, image: str) -> bool:
        """Tell whether the engine has an image or can pull it."""
        inspected = self.tries("docker", "image", "inspect", image).returncode == 0
        return inspected or self.tries("docker", "pull", "--quiet", image).returncode == 0

    def saves(self, *images: str) -> subprocess.Popen[bytes]:
        """Start to write images into a pipe, as one archive."""
        command = ["docker", "save", *images]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE)


@contextmanager
def engine(*, networks: bool) -> Iterator[Docker | None]:
    """Yield the engine at hand, or one that root starts here; None where there is neither.

    An engine that is started here has no network but the machine's own, for builds; with `networks`
    it has bridges instead, all of them in a network namespace that ends with it.
    """
    given = Docker({}, ours=False)
    if shutil.which("docker") and given.tries("docker", "info").returncode == 0:
        yield given
        return
    if os.geteuid() or not shutil.which("dockerd"):
        yield None
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    address = f"unix://{FOLDER}/socket"
    command = ["dockerd", "--data-root", f"{FOLDER}/data", "--exec-root", f"{FOLDER}/exec"]
    command += ["-H", address, "--pidfile", f"{FOLDER}/pid"]
    if networks:
        command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "-", *command]
    else:
        command += ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        command += ["--ip-forward=false", "--ip-masq=false"]
    with (FOLDER / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        # Debian's own client: another one at the front of PATH may lack BuildKit's part.
        docker = Docker(
            {"DOCKER_HOST": address, "PATH": f"/usr/bin:{os.environ['PATH']}"}, ours=True
        )
        deadline = time.monotonic() + _START_S
        while docker.tries("docker", "info").returncode:
            if daemon.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"dockerd does not start:\n{(FOLDER / 'log').read_text()[-4000:]}")
            time.sleep(1)
        yield docker
    finally:
        daemon.terminate()
        daemon.wait()


def compose() -> list[str | Path]:
    """Return the command of Compose. Where it is missing or old, it is built for minutes, once."""
    asked = subprocess.run(
        ["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False
    )
    found = asked.stdout.strip().removeprefix("v").split(".")[:2]
    if asked.returncode == 0 and tuple(map(int, found)) >= _OLDEST_COMPOSE:
        return ["docker", "compose"]
    program = CACHE / f"docker-compose-{COMPOSE}"
    if not program.exists():
        print(f"building {program.name}; this takes minutes, once", flush=True)
        folder = CACHE / "compose"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text("module compose\n\ngo 1.24\n")
        package = "github.com/docker/compose/v2/cmd"
        made = program.with_suffix(f".{os.getpid()}")
        version = f"-X github.com/docker/compose/v2/internal.Version=v{COMPOSE}"
        build: list[str | Path] = ["go", "build", "-ldflags", f"-s -w {version}", "-o", made]
        subprocess.run(["go", "get", "-tool", f"{package}@v{COMPOSE}"], cwd=folder, check=True)
        subprocess.run([*build, package], cwd=folder, check=True)
        made.replace(program)
    return [program]
