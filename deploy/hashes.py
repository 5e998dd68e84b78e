"""What the images may install: ``python deploy/hashes.py`` writes deploy/hashes.txt.

Pip installs a package into an image only if the SHA-256 of its wheel is in that file. The file
names no address, so a mirror serves as well. Run the script again when constraints.txt changes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
HASHES = ROOT / "deploy" / "hashes.txt"
EXTRAS = "worker,ocr,trace,large,report,audit,tools,table"
"""Of the package, that an image can be built with. `safety` needs a compiler."""
BUILD = ("pip", "setuptools")
MACHINES = ("x86_64", "aarch64")
NEWEST_GLIBC = 36
"""Of the images' Debian: the 36 of 2.36."""


def wheels(machine: str, *wanted: str) -> dict[tuple[str, str], str]:
    """Return the SHA-256 of each wheel that pip would install on a machine, by name and version."""
    tags = [f"manylinux_2_{minor}" for minor in range(NEWEST_GLIBC, 4, -1)]
    tags += ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
    platforms = [f"--platform={tag}_{machine}" for tag in tags]
    with TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        if machine == MACHINES[0]:  # pip knows no other machine's dependencies
            command.remove("--no-deps")
        command += ["--ignore-installed", "--only-binary=:all:", "--python-version=3.11"]
        command += ["--target", folder, "--report", str(report), *platforms]
        command += ["-c", str(ROOT / "constraints.txt"), *wanted]
        subprocess.run(command, cwd=ROOT, check=True)
        installed = json.loads(report.read_text())["install"]
    return {
        (it["metadata"]["name"], it["metadata"]["version"]): it["download_info"]["archive_info"][
            "hashes"
        ]["sha256"]
        for it in installed
        if it["metadata"]["name"] != "kaption"
    }


def lines(found: Iterable[dict[tuple[str, str], str]]) -> list[str]:
    """Return a line of requirements for each package, with the hashes of every machine."""
    hashes: dict[tuple[str, str], set[str]] = {}
    for each in found:
        for key, sha256 in each.items():
            hashes.setdefault(key, set()).add(f" --hash=sha256:{sha256}")
    return [
        f"{name}=={version}{''.join(sorted(them))}"
        for (name, version), them in sorted(hashes.items(), key=lambda it: it[0][0].lower())
    ]


def main() -> None:
    """Write deploy/hashes.txt."""
    first = wheels(MACHINES[0], f".[{EXTRAS}]", *BUILD)
    names = [f"{name}=={version}" for name, version in first]
    HASHES.write_text("\n".join(lines([first, wheels(MACHINES[1], *names)])) + "\n")


if __name__ == "__main__":
    main()
