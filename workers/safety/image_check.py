"""The interface of a check of images, and how one asks for the packages that it needs."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

from kaption.connections.errors import Fatal
from kaption.workers.decode.decoded import Decoded


class ImageCheck(Protocol):
    """Looks at an image before ingest stores anything of it."""

    def setup(self) -> None:
        """Load what it needs, once. Raises Fatal."""

    def seen(self, data: bytes, decoded: Decoded) -> Decoded:
        """The image as it is to be stored, with what was found. Several threads call it.

        `data` is the file as it was delivered. Raises Reject.
        """


def needed(module: str, setting: str) -> Any:
    """The module of the extra `safety`. Raises Fatal where it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        told = f"{setting} needs {module}, which is not installed ({error})"
        raise Fatal(f'{told}: pip install "kaption[safety]"') from error
