"""`kaption audit`: people judge a sample of the clean pairs, and thresholds follow."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from kaption.workers.cli.common import (
    Config,
    check_servers,
    on_stop,
    print_table,
    require_store,
    text_of,
)
from kaption.workers.runtime import logs
from kaption.workers.settings import Settings, UserError, load_settings
from kaption.workers.stores.client import keyspace
from kaption.workers.stores.cosines import CosineStore

if TYPE_CHECKING:
    from kaption.workers.audit.report import AcceptedShare, AuditReport

app = typer.Typer(
    no_args_is_help=True, help="Judge a sample of the pairs, and report what people decided."
)


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to serve on. Default: audit.host.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")
    ] = None,
    config: Config = None,
) -> None:
    """Serve the page on which people accept, edit or reject pairs, until stopped.

    audit.tokens says who may log in. Start as many servers as you like.

    Example: KAPTION_AUDIT__TOKENS="ana=a-long-secret-word" kaption audit serve
    """
    from kaption.workers.audit.server import serve as serve_page

    settings = load_settings(config)
    given = {name: it for name, it in (("host", host), ("port", port)) if it is not None}
    audit = settings.audit.model_copy(update=given)
    settings = settings.model_copy(update={"audit": audit})
    require_store(settings)
    logs.configure()
    check_servers(settings, redis=True)
    console = Console(stderr=True, highlight=False)

    def listening(url: str) -> None:
        # The server restores this handler when it has ended, and sends itself the signal again.
        on_stop(lambda: None)
        console.print(f"the audit is at {url}", soft_wrap=True)

    serve_page(settings, listening)


@app.command()
def report(
    target: Annotated[
        float, typer.Option(min=0, max=1, help="Share of right texts that a threshold must reach.")
    ] = 0.95,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make workers keep no text below the threshold.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    config: Config = None,
) -> None:
    """Say how many texts people accepted, how far they agree, and which threshold they ask for.

    With --apply, workers whose thresholds set themselves keep no text below
    this threshold from now on. Another --apply moves it.
    """
    from kaption.workers.audit.report import decisions
    from kaption.workers.audit.report import report as compute

    settings = load_settings(config)
    found = compute(decisions(settings.kafka), target)
    if as_json:
        typer.echo(json.dumps(_plain(found), indent=2))
    else:
        _print(found, target)
    if apply:
        _apply(settings, found, target, err=as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    base: Annotated[
        str, typer.Option(help="What Label Studio puts before the path of an image.")
    ] = "/data/local-files/?d=",
    most: Annotated[int, typer.Option(min=1, help="Most pairs.")] = 1000,
    config: Config = None,
) -> None:
    """Write waiting pairs as tasks for Label Studio, with their images and predictions.

    OUT holds tasks.json, label-config.xml and images.
    """
    from kaption.workers.audit.label_studio import export as write
    from kaption.workers.audit.server import open_desk

    if out.exists():
        raise UserError(f"{out} exists already: choose another name, or move it away")
    settings = load_settings(config)
    require_store(settings)
    with open_desk(settings) as desk:
        typer.echo(f"{write(desk, out, base, most)} tasks in {out / 'tasks.json'}")


@app.command("import")
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An export in the format JSON.")],
    config: Config = None,
) -> None:
    """Carry out the decisions in a JSON export of Label Studio.

    A second import of the same file changes nothing.
    """
    from kaption.workers.audit.label_studio import NotAnExport
    from kaption.workers.audit.label_studio import load as carry_out
    from kaption.workers.audit.server import open_desk

    text = text_of(file, str(file))
    settings = load_settings(config)
    require_store(settings)
    with open_desk(settings) as desk:
        try:
            outcomes = carry_out(desk, text)
        except NotAnExport as error:
            raise UserError(f"{file}: {error}") from error
    typer.echo(", ".join(f"{number} {what}" for what, number in outcomes.items()) or "nothing")


def _print(found: AuditReport, target: float) -> None:
    table = Table("by", "value", "accepted", "judged", "share", "95 % interval", box=None)
    for name, shares in found.shares.items():
        for value, each in shares.items():
            low, high = f"{each.low:.3f}", f"{each.high:.3f}"
            counts = (str(each.accepted), str(each.judged))
            table.add_row(name, value, *counts, f"{each.value:.3f}", f"{low} to {high}")
    print_table(table)
    alpha = "not known" if found.alpha is None else f"{found.alpha:.3f}"
    typer.echo(
        f"{found.pairs} pairs judged, {found.judged_twice} by two people: {found.same} in the same "
        f"way, Krippendorff's alpha {alpha}"
    )
    for (revision, _), of in found.targets.items():
        if of.threshold is None or of.above is None:
            told = f"no threshold with enough decisions above it reaches {target:g}"
        else:
            told = f"{_told(of.above)} from {of.threshold:.4f} on reaches {target:g}"
        typer.echo(f"scorer {revision}: {_told(of.now)} from {of.lowest:.4f} on; {told}")


def _told(share: AcceptedShare) -> str:
    return f"{share.value:.3f} ({share.low:.3f} to {share.high:.3f}) of {share.judged} texts"


def _plain(found: AuditReport) -> dict[str, Any]:
    targets = [
        {"revision": revision, "preprocessing_id": preprocessing} | asdict(each)
        for (revision, preprocessing), each in found.targets.items()
    ]
    plain = asdict(replace(found, targets={}))
    return plain | {"targets": targets}


def _apply(settings: Settings, found: AuditReport, target: float, *, err: bool) -> None:
    if settings.select.min_score is not None:
        raise UserError("select.min_score fixes the threshold: change it there, or unset it")
    targets = found.targets.items()
    reached = {it: each.threshold for it, each in targets if each.threshold is not None}
    if not reached:
        raise UserError(f"no threshold reaches {target:g} yet: nothing was changed; judge more")
    store = CosineStore(*keyspace(settings.redis))
    for scorer, threshold in reached.items():
        store.set_bound(scorer, threshold)
        typer.echo(
            f"scorer {scorer[0]}: texts below {threshold:.4f} are refused from now on", err=err
        )
