"""Tasks for Label Studio, and decisions from its export.

The formats are those of https://labelstud.io/guide/task_format and
https://labelstud.io/guide/predictions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kaption.schemas import CleanPair
from kaption.schemas.plain_json import made_plain, read_json
from kaption.workers.audit.decision import UnusableText, Verdict
from kaption.workers.audit.desk import AuditDesk, GoneError

LABEL_CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <Header value="Alt text of the page"/>
  <Text name="alt_text" value="$alt_text"/>
  <Header value="Text to judge"/>
  <TextArea name="caption" toName="image" rows="3" editable="true" maxSubmissions="1"/>
  <Choices name="verdict" toName="image" choice="single" required="true" showInline="true">
    <Choice value="accept" hotkey="a"/>
    <Choice value="edit" hotkey="e"/>
    <Choice value="reject" hotkey="r"/>
  </Choices>
</View>
"""
"""The labelling interface of the project that the tasks are for."""

_DEPTH = 20
"""Nested levels of an export, at most; annotations have eight or so."""


class NotAnExport(ValueError):
    """The file is no export of Label Studio. The message says what is wrong."""


def task(pair: CleanPair, image: str) -> dict[str, Any]:
    """A task with the captions as predictions, best first; `image` is the image's URL."""
    alt_text = pair.clean_text or pair.text
    return {
        "data": {"image": image, "alt_text": alt_text, "pair_id": pair.pair_id},
        "predictions": [
            {
                "model_version": " ".join(filter(None, (each.model, each.revision)))
                or each.kind.value,
                **({} if each.score is None else {"score": each.score}),
                "result": [
                    {
                        "from_name": "caption",
                        "to_name": "image",
                        "type": "textarea",
                        "value": {"text": [each.text]},
                    }
                ],
            }
            for each in pair.captions
        ],
    }


def export(desk: AuditDesk, folder: Path, base: str, most: int) -> int:
    """Write ``tasks.json``, ``label-config.xml`` and ``images/`` to a new folder.

    At most `most` pairs that wait. `base` goes before the path of each image, such as
    ``images/ab12.jpg``. Returns the number of tasks.
    """
    (folder / "images").mkdir(parents=True)
    tasks = []
    for pair in desk.waiting(most):
        try:
            data = desk.image(pair.image.blob)
        except KeyError:
            continue  # a takedown has deleted it
        ending = pair.image.blob.media_type.rpartition("/")[2].replace("jpeg", "jpg")
        path = f"images/{pair.image.blob.sha256}.{ending}"
        (folder / path).write_bytes(data)
        tasks.append(task(pair, base + quote(path)))
    (folder / "label-config.xml").write_text(LABEL_CONFIG, "utf-8")
    (folder / "tasks.json").write_text(json.dumps(tasks, ensure_ascii=False, indent=1), "utf-8")
    return len(tasks)


def load(desk: AuditDesk, text: str) -> Counter[str]:
    """Carry out the decisions of an export in the format JSON. Returns how many, by outcome.

    The same export twice is the same as once. Raises NotAnExport before anything is written.
    """
    found = list(_annotations(text))
    outcomes: Counter[str] = Counter()
    for pair_id, by, verdict, written in found:
        try:
            new = desk.decide(by, pair_id, verdict, "", text=written)
        except GoneError:
            outcomes["no longer in the sample, or with another person"] += 1
        except UnusableText:
            outcomes["without a text"] += 1
        else:
            outcomes[verdict.value if new else "decided before"] += 1
    return outcomes


def _annotations(text: str) -> Iterator[tuple[str, str, Verdict, str]]:
    try:
        tasks = made_plain(read_json(text.encode()), _DEPTH)
    except ValueError as error:
        raise NotAnExport(f"it is not JSON: {error}") from error
    if not isinstance(tasks, list):
        raise NotAnExport("it is no list of tasks: choose the format JSON in Label Studio")
    for number, each in enumerate(tasks):
        match each:
            case {"data": {"pair_id": str(pair_id)}, "annotations": list(annotations)}:
                newest = {}
                for annotation in sorted(annotations, key=_made):
                    if decided := _decision(annotation, number):
                        newest[decided[0]] = decided
                for decided in newest.values():
                    yield pair_id, *decided
            case _:
                raise NotAnExport(
                    f"task {number} has no annotations or no data.pair_id: choose the format JSON, "
                    "not JSON-MIN, and the project of `kaption audit export`"
                )


def _made(annotation: Any) -> str:
    """When the annotation was made or changed. A person may annotate a task again."""
    match annotation:
        case {"updated_at": str(at)} | {"created_at": str(at)}:
            return at
    return ""


def _decision(annotation: Any, number: int) -> tuple[str, Verdict, str] | None:
    """The person, the verdict and the text. None: the person skipped the task."""
    match annotation:
        case {"was_cancelled": True}:
            return None
        case {"result": list(results)}:
            pass
        case _:
            raise NotAnExport(f"task {number} has an annotation without a result")
    values: dict[str, str] = {}
    for result in results:
        match result:
            case {"from_name": "verdict", "value": {"choices": [str(choice), *_]}}:
                values["verdict"] = choice
            case {"from_name": "caption", "value": {"text": [*_, str(written)] | str(written)}}:
                values["caption"] = written
    if values.get("verdict") not in {"accept", "edit", "reject"}:
        raise NotAnExport(f"task {number} has an annotation without accept, edit or reject")
    return _person(annotation), Verdict(values["verdict"]), values.get("caption", "")


def _person(annotation: Any) -> str:
    """The e-mail address of who made the annotation, else the number in Label Studio."""
    match annotation.get("completed_by"):
        case {"email": str(email)} if email:
            named = email
        case {"id": number} | number:
            named = f"label-studio-{number}"
    return re.sub(r"[^\w.@+-]", "-", named, flags=re.ASCII)[:64]
