"""The list of commands, and errors as one line that says what to do."""

from __future__ import annotations

import logging
import sys

import typer

from kaption.connections.errors import Fault
from kaption.connections.kafka.topics import TopicError
from kaption.consumers import ReadError
from kaption.producers import PublishError
from kaption.producers.sources import SourceError
from kaption.workers.cli.compact import command as compact
from kaption.workers.cli.consume import command as consume
from kaption.workers.cli.crawl import command as crawl
from kaption.workers.cli.demo import command as demo
from kaption.workers.cli.doctor import command as doctor
from kaption.workers.cli.produce import command as produce
from kaption.workers.cli.replay import command as replay
from kaption.workers.cli.run import command as run
from kaption.workers.cli.schema import command as schema
from kaption.workers.cli.settings import command as settings
from kaption.workers.cli.status import command as status
from kaption.workers.cli.takedown import command as takedown
from kaption.workers.cli.topics import app as topics
from kaption.workers.cli.work import command as work
from kaption.workers.errors import UserError
from kaption.workers.settings import InvalidSettingsError

app = typer.Typer(
    name="kaption",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Turn scraped image-text pairs into aligned training pairs while the crawl is running.",
)
app.command("run")(run)
app.command("demo")(demo)
app.command("crawl")(crawl)
app.command("produce")(produce)
app.command("replay")(replay)
app.command("consume")(consume)
app.command("takedown")(takedown)
app.command("compact")(compact)
app.command("work")(work)
app.add_typer(topics, name="topics")
app.command("status")(status)
app.command("doctor")(doctor)
app.command("schema")(schema)
app.command("settings")(settings)


def main() -> None:
    """Run a command. Exit codes: 0 done, 1 an error or a failed check, 2 wrong usage."""
    # Without a handler Python prints the warnings of a library; our own errors say the same.
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    try:
        app()
    except (
        UserError,
        InvalidSettingsError,
        TopicError,
        ReadError,
        PublishError,
        SourceError,
        Fault,
    ) as error:
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
