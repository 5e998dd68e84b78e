"""`kaption caption`: what the configured models say about an image, and what select would keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from kaption.connections.errors import Fault
from kaption.schemas import OcrText, Tag
from kaption.workers.captioners.captioner import CaptionContext
from kaption.workers.cli.common import Config, Models, toys
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.plugins import load_captioners, load_checks, load_scorer
from kaption.workers.settings import Settings, load_settings, require_models
from kaption.workers.text.lines import in_reading_order
from kaption.workers.trial import CaptionTrial, Spent, TriedCaption, opened

if TYPE_CHECKING:
    from PIL import Image

_WIDTH = 80
_INDENT = 4


def command(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Files or URLs.")],
    models: Models = None,
    alt: Annotated[str, typer.Option(help="Alt text of the images.")] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="Tag of the images. May be repeated.")
    ] = None,
    ocr: Annotated[
        list[str] | None, typer.Option(help="Text in the images. May be repeated.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object for each image.")
    ] = False,
    config: Config = None,
) -> None:
    """Show all candidate captions of images, with their scores, and which ones select would keep.

    This is the quickest way to choose a model or to try prompts. It needs no
    Kafka, Redis or store. The images and the alt text are treated as in ingest.

    Example: kaption caption cat.jpg --models small --alt "my cat on the sofa"
    """
    settings = load_settings(config, models)
    require_models(settings, ("select", "recaption"))
    found = list(opened(images, settings.ingest))
    good = [(name, image) for name, image in found if not isinstance(image, Exception)]
    for name, error in found:
        if isinstance(error, Exception):
            _complain(name, error)
    if good:
        if warning := toys(settings):
            typer.echo(f"kaption: {warning}", err=True)
        trial = CaptionTrial(
            settings.select,
            load_captioners(settings.recaption),
            load_scorer(settings.clip),
            load_checks(settings.select),
            len(settings.recaption.large),
            settings.recaption.bar,
        )
        reader = RapidOcr() if settings.recaption.ocr and not ocr else None
        context = _context(settings, alt, tag or [], ocr or [])
    failed = len(good) < len(found)
    for name, image in good:
        if reader:
            context = replace(context, ocr=in_reading_order(reader.read(image)))
        try:
            candidates, spent = trial.asked(image, context)
        except Fault as error:
            failed = True
            _complain(name, error)
            continue
        show = _print_json if as_json else _print
        show(name, image, context, candidates, spent, trial)
    if failed:
        raise typer.Exit(1)


def _complain(name: str, error: Exception) -> None:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    typer.echo(f"kaption: {_printable(name)}: {_printable(why)}", err=True)


def _context(
    settings: Settings, alt: str, tags: Sequence[str], lines: Sequence[str]
) -> CaptionContext:
    from kaption.workers.text.clean import read_alt_text
    from kaption.workers.text.language import LanguageDetector

    policy = settings.ingest.text
    told = read_alt_text(alt, None, policy, LanguageDetector(policy)) if alt.strip() else None
    if told is not None and not told.text:
        typer.echo("kaption: nothing of the alt text is left when ingest has cleaned it", err=True)
    return CaptionContext(
        told.text if told else "",
        told.detected.tag if told and told.detected else None,
        tuple(Tag(name=name[:256]) for name in tags if name),
        tuple(OcrText(text=line) for line in lines if line),
    )


def _print(
    name: str,
    image: Image.Image,
    context: CaptionContext,
    found: Sequence[TriedCaption],
    spent: Sequence[Spent],
    trial: CaptionTrial,
) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal or console.width > _WIDTH:
        console = Console(highlight=False, markup=False, width=_WIDTH)

    def say(text: str, indent: int = 0, style: str = "") -> None:
        console.print(Padding(Text(_printable(text), style), (0, 0, 0, indent), expand=False))

    say(f"{name}, {image.width} x {image.height} pixels", style="bold")
    if context.ocr:
        say(f"text in the image: {' / '.join(line.text for line in context.ocr)}")
    for each in found:
        caption, kept = each.caption, each.place is not None
        score = "" if caption.score is None else f"{caption.score:.3f}"
        specificity = getattr(caption, "specificity", None)
        more = "" if specificity is None else f"  {specificity:+.3f} specific"
        source = " ".join(filter(None, (each.captioner, caption.prompt_id)))
        say(
            f"{f'KEPT {each.place}' if kept else '-':<7}{score:>6}{more}  {caption.kind.value:<8}"
            f" {each.tokens:>4} tokens {each.seconds:>6.2f} s  {source}",
            style="green" if kept else "",
        )
        say(caption.text or "(no text)", _INDENT)
        if not kept:
            say(f"not kept: {each.why_not}", _INDENT, "yellow")
    if not found:
        say("no captioner wrote anything", _INDENT, "yellow")
    for it in spent:
        tokens = it.input_tokens + it.output_tokens
        counted = f", {tokens:,} tokens" if tokens else ""
        paid = f", cost {it.cost:.4g}" if it.cost else ""
        say(f"{it.captioner}: {it.captions} captions in {it.seconds:.2f} s{counted}{paid}")
    if trial.large:
        names = ", ".join(each.name for each in trial.captioners[-trial.large :])
        asked = "no, a caption of the others reaches" if trial.above_bar(found) else "yes, below"
        bar = trial.threshold if trial.bar is None else trial.bar
        say(f"the stage would ask {names}: {asked} the bar {bar:.3f}")
    console.print()


def _print_json(
    name: str,
    image: Image.Image,
    context: CaptionContext,
    found: Sequence[TriedCaption],
    spent: Sequence[Spent],
    trial: CaptionTrial,
) -> None:
    captions = [
        {
            **each.caption.model_dump(mode="json", exclude_none=True),
            "captioner": each.captioner,
            "tokens": each.tokens,
            "seconds": round(each.seconds, 4),
            "kept": each.place,
            "why_not": each.why_not,
        }
        for each in found
    ]
    content = {
        "image": name,
        "width": image.width,
        "height": image.height,
        "min_score": trial.threshold,
        "above_bar": trial.above_bar(found) if trial.large else None,
        "scorer": f"{trial.scorer.model} {trial.scorer.revision}",
        "captions": captions,
        "captioners": [asdict(it) | {"tokens": it.input_tokens + it.output_tokens} for it in spent],
        "ocr": [line.text for line in context.ocr],
    }
    # Names of files may hold bytes that are no UTF-8: escaped, they are JSON all the same.
    typer.echo(json.dumps(content))


def _printable(text: str) -> str:
    """The text without control characters: models and pages may write escape sequences."""
    return "".join(char if char.isprintable() else " " for char in text)
