"""The command line's root: sub-commands, and errors as one line that says what to do."""

from __future__ import annotations

import sys

import typer

from consumers import ReadError
from workers.cli import demo, doctor, produce, run, schema, settings, status, topics, work
from workers.cli.errors import UserError
from workers.runtime.kafka.topics import TopicError
from workers.runtime.stage import StageError
from workers.settings import InvalidSettingsError

app = typer.Typer(
    name="kaption",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Turn scraped image-text pairs into aligned training pairs while the crawl is running.",
)
app.command("run")(run.command)
app.command("demo")(demo.command)
app.command("produce")(produce.command)
app.command("work")(work.command)
app.add_typer(topics.app, name="topics")
app.command("status")(status.command)
app.command("doctor")(doctor.command)
app.command("schema")(schema.command)
app.command("settings")(settings.command)


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 an error or a failed check, 2 wrong usage."""
    try:
        app()
    except (UserError, InvalidSettingsError, TopicError, ReadError, StageError) as error:
        typer.echo(f"kaption: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        # A light install has no torch, redis ...: name the extra instead of showing a traceback.
        if error.name is None or error.name.partition(".")[0] in ("workers", "schemas"):
            raise
        typer.echo(
            f"kaption: this command needs {error.name}, which is not installed: "
            'pip install "kaption[demo]" for run and demo, "kaption[worker]" for the others',
            err=True,
        )
        sys.exit(1)
