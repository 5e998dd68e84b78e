"""`kaption report`: one HTML file about a run or a deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kaption.workers.cli.common import Config
from kaption.workers.report.folder import run_report, write_whole
from kaption.workers.settings import UserError, load_settings

FILE = "report.html"


def command(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="The folder of a run. Default: the deployment."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The file to write. Default: report.html, in OUT if given."),
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=1, max=1000, help="Pairs of a deployment to show.")
    ] = 300,
    most: Annotated[
        int, typer.Option(min=1, help="Newest messages of each topic of a deployment to read.")
    ] = 50_000,
    config: Config = None,
) -> None:
    """Write a report as one HTML file: flow, scores, pairs before and after, copies, cost.

    It reads the folder of a finished run, or the topics, the store and Redis of
    a deployment. It shows no pair that was taken down.
    """
    from kaption.workers.report.deployment import deployment_report

    settings = load_settings(config)
    path = to or (folder or Path()) / FILE
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the OUT of a run")

    try:
        if folder is not None:
            page = run_report(folder, settings)
        else:
            page = deployment_report(settings, pairs, most)
    except ModuleNotFoundError as error:
        raise UserError(missing(error)) from error
    write_whole(path, page.html)
    if page.absent:
        typer.echo(page.absent)
    typer.echo(f"the report is {path}")


def missing(error: ModuleNotFoundError) -> str:
    """What to install."""
    name = str(error.name).partition(".")[0]
    return f'the report needs {name}, which is not installed: pip install "kaption[report]"'
