"""Programs of Debian packages, unpacked into a folder of the user: nothing is installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.parts import cache_folder


def debian_program(package: str, name: str) -> Path:
    """Return the path of a package's program; the first call downloads the package.

    Without a network or apt it skips the test, or fails it in CI.
    """
    folder = cache_folder() / "debian" / package
    path = folder / "usr" / "bin" / name
    if path.exists():
        return path
    part = folder.with_name(f"{package}.{os.getpid()}")
    part.mkdir(parents=True)
    try:
        for command in (["apt-get", "download", "-q", package], ["sh", "-c", "dpkg -x *.deb ."]):
            subprocess.run(command, cwd=part, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(f"{package}: {error}")
        pytest.skip(f"{package} cannot be downloaded: {error}")
    if not path.exists():
        part.replace(folder)
    return path
