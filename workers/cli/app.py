"""The list of commands, and errors as one line that says what to do."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import typer

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicError
from kaption.consumers import ReadError
from kaption.producers import PublishError
from kaption.producers.sources import SourceError
from kaption.workers.cli.topics import app as topics
from kaption.workers.errors import UserError
from kaption.workers.settings import InvalidSettingsError

COMMANDS = (
    *("run", "demo", "crawl", "produce", "replay", "consume", "takedown", "compact", "work"),
    *("status", "doctor", "schema", "settings"),
)
"""Each is the function `command` of the module of its name, in the order of `kaption --help`."""

_OURS = (UserError, InvalidSettingsError, TopicError, ReadError, PublishError, SourceError, Fault)
"""Errors whose message says what to do."""

app = typer.Typer(
    name="kaption",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Turn scraped image-text pairs into aligned training pairs while the crawl is running.",
)
for _name in COMMANDS:
    app.command(_name)(import_module(f"kaption.workers.cli.{_name}").command)
app.add_typer(topics, name="topics")


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 an error or a failed check, 2 wrong usage."""
    # Without a handler Python prints the warnings of a library; our own errors say the same.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        app()
    except _OURS as error:
        typer.echo(f"kaption: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        # An install without extras lacks torch, redis and others. A traceback would not say that.
        if error.name is None or error.name.partition(".")[0] == "kaption":
            raise
        typer.echo(
            f"kaption: this command needs {error.name}, which is not installed: "
            'pip install "kaption[demo]" for run and demo, "kaption[sources]" for produce, '
            '"kaption[worker]" for the others',
            err=True,
        )
        sys.exit(1)
