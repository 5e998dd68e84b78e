"""`kaption demo`: `run` over a rendered noisy crawl, and how many pairs were judged right."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from kaption.consumers import Read
from kaption.producers.sources import Found
from kaption.schemas import CleanPair, DeadLetter, RejectedPair
from kaption.workers.batch.servers import ServerAddresses, store_folder
from kaption.workers.cli.common import Config
from kaption.workers.cli.run import run_pairs
from kaption.workers.settings import load_settings

if TYPE_CHECKING:
    from kaption.workers.demo.truth import Judgement, Terminal, Truth


def command(
    out: Annotated[
        Path | None, typer.Option(help="A new or empty folder. Default: a temporary one.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Number of pairs.")] = 300,
    seed: Annotated[int, typer.Option(help="The same seed renders the same crawl.")] = 1,
    config: Config = None,
) -> None:
    """Run the pipeline over a rendered noisy crawl, and judge the result.

    The demo needs no server and no network: it starts small servers of its
    own and uses the models in this package. OUT gets report.html, and
    contact-sheet.png with pairs before and after.
    """
    from kaption.workers.demo.crawl import Crawl
    from kaption.workers.demo.site import FETCH, Site

    console = Console(stderr=True)
    settings = load_settings(config, "demo")
    settings = settings.model_copy(
        update={"ingest": settings.ingest.model_copy(update={"fetch": FETCH})}
    )
    out = out or Path(mkdtemp(prefix="kaption-demo-"))
    with console.status(f"rendering a crawl of {pairs} pairs"):
        crawl = Crawl(seed, pairs)
    outcomes: dict[str, Terminal] = {}

    def end() -> None:
        from kaption.workers.demo.truth import judge

        _print_judgement(judge(crawl.truths, outcomes), console)
        sheet = _write_contact_sheet(out, crawl.truths, outcomes)
        console.print(f"before and after: {sheet}")

    with Site(crawl.pages) as site:
        run_pairs(
            settings,
            (Found(record, "") for record in crawl.records(site.url)),
            f"demo {seed} {pairs} {uuid.uuid4()}",  # each site has another port
            out,
            ServerAddresses(),
            console,
            lambda read: _remember(outcomes, read),
            end,
        )


def _remember(outcomes: dict[str, Terminal], read: Read) -> None:
    match read.record:
        case CleanPair() | RejectedPair() as pair:
            outcomes[pair.pair_id] = pair
        case DeadLetter(key=bytes(key)) as letter:
            outcomes[key.decode(errors="replace")] = letter


def _print_judgement(judgement: Judgement, console: Console) -> None:
    table = Table("what was done to the pair", "pairs", "judged right", box=None, pad_edge=False)
    for kind, judged in judgement.kinds.items():
        style = None if judged.right == judged.pairs else "yellow"
        table.add_row(kind.value, str(judged.pairs), str(judged.right), style=style)
    console.print(table)
    for judged in judgement.kinds.values():
        for mistake in judged.mistakes:
            console.print(f"  {mistake}", style="yellow", highlight=False, soft_wrap=True)
    console.print(
        f"judged right: {judgement.right} of {judgement.pairs} "
        f"({judgement.right / judgement.pairs:.1%})"
    )
    if judgement.kept:
        console.print(
            "texts that are true of their image, among the pairs kept: "
            f"{judgement.agreed_before / judgement.kept:.1%} before, "
            f"{judgement.agreed_after / judgement.kept:.1%} after"
        )


def _write_contact_sheet(
    out: Path, truths: tuple[Truth, ...], outcomes: dict[str, Terminal]
) -> Path:
    from PIL import Image

    from kaption.objectstore.blobs import BlobStore
    from kaption.objectstore.folder import FolderStore
    from kaption.workers.demo.contact_sheet import choose, contact_sheet

    blobs = BlobStore(FolderStore(store_folder(out)))
    rows = [
        (Image.open(io.BytesIO(blobs.get(pair.image.blob))), truth, pair)
        for truth, pair in choose(truths, outcomes)
    ]
    path = out / "contact-sheet.png"
    contact_sheet(rows).save(path)
    return path
