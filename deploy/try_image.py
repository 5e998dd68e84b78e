"""Try an image without Docker, as root: python deploy/try_image.py TARGET [COMMAND ...]

Each stage that TARGET needs becomes a folder, and its RUN steps are run with that folder as their
root. Then the entry point is run as a hardened container would: as process 1 and the image's user,
without capabilities, in a root that cannot be written, with fresh /tmp, /models and /store. SIGTERM
stops it as `docker stop` does.

What differs from a build: the base is this machine's Debian, with the Python that runs the script
in /usr/local, both read-only, so neither the base image nor what it lacks is tried; HEALTHCHECK and
EXPOSE are passed over. With --packages an environment's packages count as installed, which saves
the 5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from types import FrameType

import dockerfile
from confinement import Confinement, lay_base, run, send

VOLUMES = ("/tmp", "/models", "/store")  # noqa: S108  # the image's


@dataclass(frozen=True)
class Image:
    """What a stage's instructions have made so far; `root` is its file system."""

    root: Path
    variables: Mapping[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin"}
    )
    folder: str = "/"
    user: str = "0:0"
    stop: str = "SIGTERM"
    entry: Sequence[str] = ()
    command: Sequence[str] = ()


class Build:
    """Follows the Dockerfile in folders of `scratch`; `arguments` are the build's."""

    def __init__(
        self, scratch: Path, confinement: Confinement, arguments: Mapping[str, str]
    ) -> None:
        self._scratch = scratch
        self._confinement = confinement
        self._arguments = arguments
        self._stages = dockerfile.read()
        self._images: dict[str, Image] = {}

    def image(self, name: str) -> Image:
        """The image of a stage. Raises SystemExit where a step fails."""
        if name not in self._images:
            self._images[name] = self._make(name)
        return self._images[name]

    def _make(self, name: str) -> Image:
        if name not in self._stages:
            raise SystemExit(f"no stage {name}: there are {', '.join(self._stages)}")
        stage, root = self._stages[name], self._scratch / name
        if stage.base in self._stages:
            image = replace(self.image(stage.base), root=root)
            run(["cp", "-a", str(self.image(stage.base).root), str(root)])
        else:
            image = Image(root)
            lay_base(root)
        given: dict[str, str] = {}
        for instruction, value in stage.steps:
            print(f"{name}: {instruction} {value}", file=sys.stderr, flush=True)
            match instruction:
                case "ARG":
                    argument, _, default = value.partition("=")
                    given[argument] = self._arguments.get(argument, default)
                case "RUN":
                    self._run(image, value, given)
                case "COPY":
                    self._copy(image, shlex.split(value))
                case "WORKDIR":
                    (root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
                    image = replace(image, folder=value)
                case "ENV":
                    words = shlex.split(Template(value).safe_substitute(image.variables))
                    named = dict(word.split("=", 1) for word in words)
                    image = replace(image, variables={**image.variables, **named})
                case "USER":
                    image = replace(image, user=value)
                case "STOPSIGNAL":
                    image = replace(image, stop=value)
                case "ENTRYPOINT":
                    image = replace(image, entry=json.loads(value))
                case "CMD":
                    image = replace(image, command=json.loads(value))
                case "HEALTHCHECK" | "EXPOSE":
                    pass
                case _:
                    raise SystemExit(f"{instruction} is not known to {Path(__file__).name}")
        return image

    def _run(self, image: Image, value: str, given: Mapping[str, str]) -> None:
        targets = re.findall(r"--mount=type=cache,target=(\S+)\s", value)
        self._confinement.run(
            image.root,
            ["sh", "-c", re.sub(r"--mount=\S+\s+", "", value)],
            user=image.user,
            folder=image.folder,
            variables={**image.variables, **given},
            caches={target: _pip_cache() for target in targets},
        )

    def _copy(self, image: Image, words: Sequence[str]) -> None:
        origin = dockerfile.CONTEXT
        if words[0].startswith("--from="):
            origin = self.image(words[0].removeprefix("--from=")).root
            words = words[1:]
        *sources, target = words
        goal = os.path.join(image.root, os.path.join(image.folder, target).lstrip("/"))
        for source in sources:
            path = os.path.join(origin, source.lstrip("/"))
            if os.path.isdir(path):
                os.makedirs(goal, exist_ok=True)
                path += "/."
            run(["cp", "-a", path, goal])


def _pip_cache() -> Path:
    pip = [sys.executable, "-m", "pip", "cache", "dir"]
    found = subprocess.run(pip, check=True, capture_output=True, text=True)
    path = Path(found.stdout.strip())
    path.mkdir(parents=True, exist_ok=True)
    return path


def main() -> None:
    """Build, then run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packages", type=Path, help="prefix of an environment with everything")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("target", metavar="TARGET")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("run it as root: it mounts, in a name space of its own")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with TemporaryDirectory(prefix="kaption-image-") as name:
        scratch = Path(name)
        confinement = Confinement(options.packages, scratch / "links")
        arguments = dict(each.split("=", 1) for each in options.build_arg)
        image = Build(scratch / "stages", confinement, arguments).image(options.target)
        started = confinement.start(
            image.root,
            [*image.entry, *(options.command or image.command)],
            user=image.user,
            folder=image.folder,
            variables={**image.variables, **dict(each.split("=", 1) for each in options.env)},
            volumes=VOLUMES,
        )

        def stop(number: int, frame: FrameType | None) -> None:
            send(started, image.stop)

        signal.signal(signal.SIGTERM, stop)
        sys.exit(started.wait())


if __name__ == "__main__":
    main()
