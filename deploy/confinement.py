"""Commands with a folder as their root, in mounts of their own: nothing outside is changed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LINKS = ("bin", "sbin", "lib", "lib64")
_FOLDERS = ("dev", "etc", "packages", "proc", "tmp", "usr")
# What names, accounts and certificates are looked up in.
_ETC = (
    *("alternatives", "default", "group", "gshadow", "hosts", "ld.so.cache", "login.defs"),
    *("nsswitch.conf", "passwd", "pip.conf", "resolv.conf", "shadow", "ssl"),
)
# Where packages are mounted: their own place may be below /tmp, which a container has for itself.
_SITE = "/site-packages"
# How to reach the package index is the machine's matter, not the image's.
_INDEX = re.compile(r"PIP_|SSL_CERT_|.*_PROXY$", re.IGNORECASE)


class Confinement:
    """Runs commands in folders laid out by `lay_base`, with this machine's /usr and Python.

    `packages`, the prefix of an environment, counts as installed: its site-packages without Kaption
    are on Python's path, by links in the folder `links`.
    """

    def __init__(self, packages: Path | None, links: Path) -> None:
        # Python is in /usr/local, as in the image, and where its scripts say that it is.
        prefix = sys.base_prefix
        self._mounts = {"/usr": "/usr", "/usr/local": prefix, prefix: prefix}
        self._variables = {name: it for name, it in os.environ.items() if _INDEX.match(name)}
        if packages is not None:
            site = packages / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
            _link(site, links)
            self._mounts |= {_SITE: str(site), "/packages": str(links)}
            self._variables["PYTHONPATH"] = "/packages"

    def run(
        self,
        root: Path,
        command: Sequence[str],
        *,
        user: str,
        folder: str,
        variables: Mapping[str, str],
        caches: Mapping[str, Path],
    ) -> None:
        """Run as a RUN step is; `caches` are mounted too. Raises SystemExit where it fails."""
        lines = [*self._mounting(root), *_bind("/proc", f"{root}/proc")]
        for target, source in caches.items():
            lines += _bind(str(source), f"{root}{target}")
        entered = self._enter(root, [*_as(user), *command], folder, variables)
        run(["unshare", "--mount", *_shell(lines, entered)])

    def start(
        self,
        root: Path,
        command: Sequence[str],
        *,
        user: str,
        folder: str,
        variables: Mapping[str, str],
        volumes: Sequence[str],
    ) -> subprocess.Popen[bytes]:
        """Start as process 1, without capabilities, in a root that is read-only but for `volumes`.

        It ends with this process; `send` reaches it.
        """
        lines = [f"mount --bind {root} {root}", *self._mounting(root)]
        lines += [f"mount -o remount,bind,ro {root}", f"mount -t proc proc {root}/proc"]
        lines += [f"mount -t tmpfs -o mode=1777 tmpfs {root}{volume}" for volume in volumes]
        confined = [*_as(user), "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        entered = self._enter(root, [*confined, *command], folder, variables)
        unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *unshare, *_shell(lines, entered)]
        )

    def _mounting(self, root: Path) -> list[str]:
        lines = _bind("/dev", f"{root}/dev")
        for target, source in self._mounts.items():
            at = shlex.quote(f"{root}{target}")
            # A step that would write there fails, rather than change this machine.
            lines += [*_bind(source, f"{root}{target}"), f"mount -o remount,bind,ro {at}"]
        return lines

    def _enter(
        self, root: Path, command: Sequence[str], folder: str, variables: Mapping[str, str]
    ) -> list[str]:
        named = [f"{name}={it}" for name, it in {**self._variables, **variables}.items()]
        go = f"cd {shlex.quote(folder)} && exec {shlex.join(command)}"
        return ["chroot", str(root), "/usr/bin/env", "-i", *named, "sh", "-c", go]


def lay_base(root: Path) -> None:
    """Make `root` a file system without anything of its own, for a stage that is from an image."""
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    for name in _LINKS:
        (root / name).symlink_to(f"usr/{name}")
    for name in _ETC:
        if (Path("/etc") / name).exists():
            run(["cp", "-aL", f"/etc/{name}", f"{root}/etc"])
    (root / "tmp").chmod(0o1777)


def send(started: subprocess.Popen[bytes], name: str) -> None:
    """Send a signal, by its name, to the process 1 that was started."""
    children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
    for child in children.read_text().split():
        os.kill(int(child), signal.Signals[name])


def run(command: Sequence[str]) -> None:
    """Run with its output among the errors. Raises SystemExit where it fails."""
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise SystemExit(f"failed with {code}: {shlex.join(command)}")


def _as(user: str) -> list[str]:
    number, group = user.split(":")
    return ["setpriv", f"--reuid={number}", f"--regid={group}", "--clear-groups"]


def _bind(source: str, target: str) -> list[str]:
    at = shlex.quote(target)
    return [f"mkdir -p {at}", f"mount --rbind {shlex.quote(source)} {at}"]


def _shell(lines: Sequence[str], command: Sequence[str]) -> list[str]:
    return ["sh", "-ec", "\n".join([*lines, f"exec {shlex.join(command)}"])]


def _link(site: Path, links: Path) -> None:
    links.mkdir(parents=True)
    for path in site.iterdir():
        # What is edited in place is Kaption too.
        if not re.match(r"kaption|__editable__|.*\.pth$", path.name):
            (links / path.name).symlink_to(f"{_SITE}/{path.name}")
