"""What several commands share: the option --config, ages, and what they show and ask."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.status import Status
from rich.table import Table

from kaption.connections.errors import Retry
from kaption.connections.kafka.access import check_access
from kaption.connections.tls import setting
from kaption.objectstore import open_store
from kaption.schemas.faults import one_line
from kaption.workers.presets import TOY, PresetName
from kaption.workers.settings import Settings, UserError
from kaption.workers.stores.client import connect_all, try_redis

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="TOML file with settings. Default: the one that KAPTION_CONFIG names."
    ),
]

FORMATS = "JSON lines, CSV, TSV, Parquet, images, tars, WARC, WACZ, WAT or a saved data set"
"""What `produce` and `run` read, for their help."""

Option = Annotated[
    list[str] | None,
    typer.Option(
        "--option", "-o", metavar="NAME=VALUE", help="Option of the format. May be repeated."
    ),
]

Models = Annotated[
    PresetName | None,
    typer.Option(
        "--models",
        help="Preset of scorer and captioner: small for a CPU, balanced or best for a GPU. demo "
        "names toys that know only the images of the demo.",
    ),
]

_AGE = re.compile(r"([0-9]+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNBOUNDED = 10_000
_LINE_S = 5.0


def text_of(file: Path, shown: str) -> str:
    """The text of a file that the user named, in UTF-8. Raises UserError, which begins `shown`."""
    try:
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{shown} cannot be read: {error.strerror}; give a text file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{shown} is not in UTF-8 ({error}): convert it") from error


def named(options: list[str] | None) -> dict[str, str]:
    """The options of a format by name. Raises UserError."""
    found = {}
    for option in options or ():
        name, separator, value = option.partition("=")
        if not separator:
            raise UserError(f"--option {option}: write NAME=VALUE")
        found[name] = value
    return found


def age(text: str) -> timedelta | None:
    """Read an age such as 30m, 6h or 2d; None if it is none."""
    match = _AGE.fullmatch(text)
    return None if match is None else timedelta(**{_UNITS[match[2]]: int(match[1])})


def print_table(table: Table) -> None:
    """Print a table. Where the output is no terminal each row is one line, for other programs."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=_UNBOUNDED, highlight=False)
    console.print(table)


class ProgressLine:
    """A status line on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._next_line = time.monotonic() + _LINE_S

    def show(self, line: str) -> None:
        """Show how far the command is."""
        self._status.update(line)
        if not self._console.is_terminal and time.monotonic() >= self._next_line:
            self._console.print(line, soft_wrap=True)
            self._next_line = time.monotonic() + _LINE_S


def ask(question: str, otherwise: str) -> None:
    """Ask the user. Raises UserError with `otherwise` where the answer is no, or there is none."""
    try:
        typer.confirm(question, abort=True)
    except typer.Abort:
        raise UserError(otherwise) from None


def toys(settings: Settings) -> str:
    """A warning where a configured model is the demo's; else nothing."""
    models = {"scorer": settings.clip.model, "captioner": settings.recaption.transformers.model}
    found = [role for role, model in models.items() if model == "demo"]
    if not found:
        return ""
    return f"the {found[0]} is {TOY}" + ("; so is the captioner" if len(found) > 1 else "")


def check_kafka(settings: Settings) -> None:
    """Raise UserError or Fatal if no broker can be used now."""
    if seen := check_access(settings.kafka):
        raise UserError(f"no Kafka broker answers ({seen}): {setting('kafka', 'bootstrap')}")


def check_servers(settings: Settings, *, redis: bool) -> None:
    """Raise UserError or Fatal if Kafka, the store or (with `redis`) Redis cannot be used now.

    A server that goes away later is waited for. One that is away at the start is more often a
    wrong address than an outage, and a supervisor starts the command again.
    """
    check_kafka(settings)
    try:
        # GET and not HEAD: an answer to HEAD has no body that says why the store refuses.
        with suppress(KeyError):
            open_store(settings.store).get("trial")
    except Retry as error:
        raise UserError(f"{error}: {setting('store', 'url')} is {settings.store.url}") from error
    if redis:
        for client in connect_all(settings.redis):
            try_redis(client, settings.redis.key_prefix)


def require_store(settings: Settings) -> None:
    """Raise UserError where `store.url` names a folder that is not there.

    For commands about a data set that exists. The default is a folder here: a takedown would be
    written into it while readers look into another store, and nothing would say so.
    """
    url = settings.store.url
    if not (url.startswith("s3://") or Path(url).expanduser().is_dir()):
        raise UserError(
            f"there is no folder {url}: set {setting('store', 'url')} to the store of the data set"
        )


@contextmanager
def parsing(prefix: str) -> Iterator[None]:
    """Raise UserError where a file of the dataset below `prefix` cannot be parsed."""
    try:
        yield
    except ValidationError as error:
        raise UserError(
            f"a file below {prefix}/ cannot be read: {one_line(error, error.title)}; restore it"
        ) from error


def on_stop(stop: Callable[[], object]) -> None:
    """Call `stop` at SIGTERM and at Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
