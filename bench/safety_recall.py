"""Measures checks of images on your folders: `python -m bench.safety_recall CHECK DIR [DIR ...]`.

CHECK is nsfw, documents or faces. Put images of one label below each DIR: those that the check
should find into one, harmless ones into another. Each image goes the way of ingest, so that it is
scored as it would be stored. A row for each DIR and limit gives the share of its images above the
limit: the recall for images that should be found, the false rate for harmless ones. Faces have no
score: their row gives the share of images with a face. Files that ingest would refuse are counted
below the table. Nothing is written, and no image leaves the machine.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from kaption.connections.errors import Fatal
from kaption.workers.decode.decode import decode
from kaption.workers.models.ocr import RapidOcr
from kaption.workers.policy.ingest import ImagePolicy
from kaption.workers.runtime.stage import Reject
from kaption.workers.safety.documents import Documents
from kaption.workers.safety.faces import Faces
from kaption.workers.safety.image_check import ImageCheck
from kaption.workers.safety.nsfw import Nsfw
from kaption.workers.safety.policy import DocumentPolicy, FacePolicy, NsfwPolicy
from tools.evaluate.figures import Figure, share, table

LIMITS = (0.2, 0.5, 0.8)
CHECKS = ("nsfw", "documents", "faces")


def check(name: str) -> ImageCheck:
    """A check that only scores or counts, ready. Raises Fatal where its package is missing."""
    made: ImageCheck
    if name == "nsfw":
        made = Nsfw(NsfwPolicy(action="score"))
    elif name == "documents":
        made = Documents(DocumentPolicy(action="score"), RapidOcr)
    else:
        made = Faces(FacePolicy(action="count"))
    made.setup()
    return made


def found(name: str, checked: ImageCheck, data: bytes) -> float:
    """The score of a file, or how many faces it has. Raises Reject where ingest would."""
    seen = checked.seen(data, decode(data, ImagePolicy()))
    value = {"nsfw": seen.nsfw, "documents": seen.document, "faces": len(seen.faces or ())}[name]
    return float(value or 0)


def measure(name: str, folders: Sequence[Path]) -> tuple[list[Figure], Counter[str]]:
    """The rows of the table, and how many files ingest refuses by reason.

    Raises ValueError for a folder without an image, and Fatal.
    """
    checked, figures, refused = check(name), [], Counter[str]()
    for folder in folders:
        scores = []
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            try:
                scores.append(found(name, checked, file.read_bytes()))
            except Reject as reject:
                refused[reject.reason.value] += 1
        if not scores:
            raise ValueError(f"no image in {folder} that ingest would take")
        for limit in (0.0,) if name == "faces" else LIMITS:
            what = "with a face" if name == "faces" else f"above {limit:g}"
            figures.append(share(f"{folder}: {what}", [score > limit for score in scores]))
    return figures, refused


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    options = parser.parse_args()
    for folder in options.folders:
        if not folder.is_dir():
            parser.error(f"{folder} is not a folder")
    try:
        figures, refused = measure(options.check, options.folders)
    except (Fatal, ValueError) as error:
        sys.exit(str(error))
    console = Console()
    console.print(table(figures))
    if refused:
        told = ", ".join(f"{reason} {count}" for reason, count in refused.most_common())
        console.print(f"left out, as ingest refuses them: {told}")


if __name__ == "__main__":
    main()
