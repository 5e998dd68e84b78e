"""`kaption rebuild`: make again what was lost."""

from __future__ import annotations

import typer
from rich.console import Console

from kaption.workers.cli.common import Config, ProgressLine, require_store
from kaption.workers.settings import load_settings

app = typer.Typer(no_args_is_help=True, help="Restore what a server lost.")


@app.callback()
def _group() -> None:
    """Keep `redis` a command of its own: Typer would leave out the name of a single one."""


@app.command()
def redis(config: Config = None) -> None:
    """Fill the claims of deduplication from the dataset and the topics.

    Run it after Redis was lost or an older copy of it came back. Images and texts
    are claimed for the same owners as before. It reads every table, and every
    stored image once. Stop ingest meanwhile: it would accept copies of images
    that are not claimed yet. After a kill the same command continues.

    Example: kaption rebuild redis --config kaption.toml
    """
    from kaption.workers.rebuild import Rebuild

    settings = load_settings(config)
    require_store(settings)
    console = Console(stderr=True, highlight=False)
    with console.status("reading the dataset") as status:
        done = Rebuild(settings).run(ProgressLine(console, status).show)
    typer.echo(str(done))
