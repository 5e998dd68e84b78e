"""The list of commands, and errors as one line that says what to do."""

from __future__ import annotations

import errno
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicError
from kaption.consumers import ReadError
from kaption.producers import PublishError
from kaption.producers.sources import SourceError
from kaption.workers.cli.audit import app as audit
from kaption.workers.cli.pins import app as pins
from kaption.workers.cli.rebuild import app as rebuild
from kaption.workers.cli.topics import app as topics
from kaption.workers.local import MissingServer, ServerError
from kaption.workers.settings import InvalidSettingsError, UserError

COMMANDS = (
    *("run", "demo", "caption", "crawl", "produce", "replay", "consume", "takedown", "recheck"),
    *("compact", "table", "sources", "work", "status", "report", "pair", "doctor", "schema"),
    *("size", "settings"),
)
"""Each is the function `command` of the module of its name, in the order of `kaption --help`."""

_OURS = (
    *(UserError, InvalidSettingsError, TopicError, ReadError, PublishError, SourceError, Fault),
    *(ServerError, MissingServer),
)
"""Errors whose message says what to do."""

_OF_THE_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
    *(errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.EMFILE, errno.ENOMEM),
}
"""Errors that no change of our code would mend: they are told without a traceback."""

_FULL = {errno.ENOSPC, errno.EDQUOT}

_SERVERS = {"redis": "Redis", "botocore": "S3", "boto3": "S3", "s3transfer": "S3", "kafka": "Kafka"}
"""Names of servers, by the library whose errors are told in one line if no code sorted them."""


@contextmanager
def _usage_in_one_line() -> Iterator[None]:
    """Tell a wrong usage in one line, as every other error. Typer draws a box of six."""
    try:
        yield
    except typer.TyperException as error:
        said = " ".join(error.format_message().split()).rstrip(".")
        if not said:  # the help, which is shown already
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "kaption"
        said = (said[:1].lower() + said[1:]).replace("Value error, ", "")  # pydantic's word
        typer.echo(f"kaption: {said} (`{path} --help` says what to write)", err=True)
        raise typer.Exit(error.exit_code) from None


class _Commands(TyperGroup):
    """The group of all commands. Errors of the groups below it pass through it."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        with _usage_in_one_line():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        with _usage_in_one_line():
            return super().invoke(ctx)


app = typer.Typer(
    name="kaption",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Turn scraped image-text pairs into aligned training pairs while the crawl is running.",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"kaption {version('kaption')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


for _name in COMMANDS:
    app.command(_name)(import_module(f"kaption.workers.cli.{_name}").command)
app.add_typer(topics, name="topics")
app.add_typer(audit, name="audit")
app.add_typer(rebuild, name="rebuild")
app.add_typer(pins, name="pins")


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 error or failed check, 2 wrong usage, 130 stopped."""
    # SIGTERM too removes what is temporary. `run` and `work` handle both signals on their own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Without a handler Python prints the warnings of libraries; our own errors say the same.
    logging.getLogger().addHandler(logging.NullHandler())
    if isinstance(sys.stdout, TextIOWrapper):
        # As on stderr: a terminal that is not in UTF-8 shows other characters as escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="kaption")
    except SystemExit as ended:
        told = ended.__context__  # typer makes an Exit of a Ctrl-C that the command did not handle
        if told is not None and isinstance(told.__cause__, KeyboardInterrupt):
            typer.echo("kaption: stopped. Give the same command again to finish", err=True)
        raise
    except _OURS as error:
        typer.echo(f"kaption: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        # A write to an open file does not say which one it is.
        place = error.filename or "a file that is being written"
        full = "; make room and give the same command again" if error.errno in _FULL else ""
        typer.echo(f"kaption: cannot use {place}: {error.strerror}{full}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        # An install without extras lacks torch, redis and others. A traceback would not say that.
        if error.name is None or error.name.partition(".")[0] == "kaption":
            raise
        typer.echo(
            f"kaption: this command needs {error.name}, which is not installed: "
            'pip install "kaption[demo]" for run and demo, "kaption[sources]" for produce, '
            '"kaption[audit]" for audit, "kaption[worker]" for the others',
            err=True,
        )
        sys.exit(1)
    except Exception as error:
        server = _SERVERS.get(type(error).__module__.partition(".")[0])
        if server is None:
            raise
        why = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"kaption: {server}: {why}; `kaption doctor` checks the servers", err=True)
        sys.exit(1)
