"""What a run keeps in its folder OUT, so that the same command goes on after an interruption."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from kaption.consumers import Read
from kaption.objectstore.dataset.manifests import read_manifests
from kaption.objectstore.dataset.objects import read_rows
from kaption.objectstore.open import open_store
from kaption.producers.sources.source import SOURCE_ERROR_HEADER
from kaption.schemas import DeadLetter, Position, Provenance, RejectedPair
from kaption.workers.batch.inputs import Inputs
from kaption.workers.batch.tally import Tally, origin_of_read
from kaption.workers.report.census import KeptPair
from kaption.workers.report.folder import PAIRS, SAMPLE, write_whole
from kaption.workers.report.gallery import Card, Gallery, read_cards, write_cards
from kaption.workers.report.spent import provenance_of
from kaption.workers.settings import Settings, UserError

_SHOWN_CHARS = 2_000
_UNBEGUN = {"rejected.jsonl", "dead.jsonl", ".inputs", ".probe", ".servers", "run.new"}
"""All that a run leaves that was killed before it began, such as while its models were loaded."""
_PROBE_BYTES = 64 * 1024
"""What must fit before a run begins: a full disk takes an empty file."""


class Journal(ExitStack):
    """The folder OUT of one run: rejected.jsonl, dead.jsonl, summary.json and what a stop needs.

    Each input has a number. An outcome is known by it: the origin of a record is its number, in
    every attempt, so that its claims stay its own. A finished run whose input grew goes on too.
    """

    def __init__(self, out: Path, of: Mapping[str, Any]) -> None:
        """Make the folder, or open that of an earlier run.

        `of` says what the run is of: its input, servers and models. Raises UserError if the folder
        holds something else or cannot be written.
        """
        super().__init__()
        self.out = out
        self._file = out / "run.json"
        finished = (out / "summary.json").exists()
        if self._file.is_file():
            found = json.loads(self._file.read_text("utf-8"))
            changed = [name for name, value in of.items() if found["of"].get(name) != value]
            if changed:
                kind = "a finished" if finished else "an interrupted"
                raise UserError(
                    f"{out} holds {kind} run with another {' and '.join(changed)}: give"
                    " the same command again, or choose another folder"
                )
        else:
            check_folder(out)
            found = {"name": f"run-{uuid.uuid4().hex[:8]}", "attempt": 0, "of": dict(of)}
        self.name: str = found["name"]
        """Names of topics, groups and keys on servers begin with it."""
        self.attempt: int = found["attempt"] + 1
        self._state = found | {"attempt": self.attempt}
        self._taken = False
        """The folder is another run's, which goes on."""
        self.places: dict[int, str] = {}
        """Where in the input each one that has no outcome yet was found."""
        made = not out.exists()
        if self.attempt == 1:
            self.callback(self._undo, made)
        try:
            self._try_folder()
            self._files = {
                RejectedPair: self._open("rejected.jsonl"),
                DeadLetter: self._open("dead.jsonl"),
            }
            self.inputs = self.enter_context(Inputs(out / ".inputs"))
        except BlockingIOError as error:
            self._taken = True
            self.close()
            raise UserError(
                f"another run writes to {out} now: wait for its end, or choose another folder"
            ) from error
        except OSError as error:
            self.close()
            raise UserError(f"{out} cannot be written: {error.strerror}") from error
        except BaseException:  # Ctrl-C
            self.close()
            raise

    @property
    def servers(self) -> Path:
        """Where local servers keep what an interrupted run needs."""
        return self.out / ".servers"

    def origin(self, number: int) -> Position:
        """The origin of the input with this number."""
        return Position(f"{self.name}.input", 0, number)

    def add(self, read: Read) -> None:
        """Write a rejection or dead letter as one line that a person can read."""
        record, number = read.record, origin_of_read(read).offset
        place = self.places.pop(number, "")
        if isinstance(record, RejectedPair | DeadLetter):
            line: dict[str, Any] = {"number": number, "place": place}
            line |= _rejected(record) if isinstance(record, RejectedPair) else _dead(record)
            if "detail" in line:  # a copy names the origin of the kept image
                line["detail"] = re.sub(
                    rf"{self.name}\.input/0/(\d+)", r"number \1", line["detail"]
                )
            file = self._files[type(record)]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

    def known(self, settings: Settings) -> Tally:
        """The outcomes of earlier attempts. An input without one is published again."""
        tally = Tally()
        for name in ("rejected.jsonl", "dead.jsonl"):
            # Not by `splitlines`: a text may hold U+2028 and other characters that it splits at.
            with (self.out / name).open(encoding="utf-8") as lines:
                for found in map(json.loads, lines):
                    tally.mark(found["number"])
                    if "reason" in found:
                        took = provenance_of(found)
                        tally.count_rejected(found["stage"], found["reason"], took)
                    else:
                        tally.count_dead(found["stage"])
        if self.attempt > 1:
            store, prefix = open_store(settings.store), settings.sink.prefix
            for manifest in read_manifests(store, prefix):
                for row in read_rows(store, prefix, manifest):
                    if row["version"] > 1:
                        continue  # the outcome of a copy; the copy is published again and refused
                    tally.mark(Position.parse(row["dedup_owner"]).offset)
                    tally.count_clean(KeptPair.of_row(row))
        return tally

    def sampled(self) -> Gallery:
        """The pairs that the report shows, with those of an attempt that Ctrl-C ended."""
        gallery, path = Gallery(PAIRS), self.out / SAMPLE
        # After another kind of end the file may be missing or half written.
        with suppress(OSError, ValueError, TypeError):
            for card in read_cards(path):
                gallery.add_card(card)
        return gallery

    def sample(self, cards: Iterable[Card]) -> None:
        """Write the pairs that the report shows. Raises OSError."""
        write_cards(self.out / SAMPLE, cards)

    def begin(self) -> None:
        """Mark the folder as that of an interrupted run, until `finish`."""
        write_whole(self._file, json.dumps(self._state, indent=2) + "\n")
        (self.out / "summary.json").unlink(missing_ok=True)

    def finish(self, summary: Mapping[str, Any], goes_on: bool = True) -> None:
        """Write summary.json. Raises UserError.

        Unless the run `goes_on` when its input grew, what it needs for that is removed.
        """
        try:
            write_whole(self.out / "summary.json", json.dumps(summary, indent=2) + "\n")
        except OSError as error:
            raise UserError(
                f"{self.out} cannot take summary.json ({error.strerror}). All outcomes are kept:"
                " make room and give the same command, which goes on from here"
            ) from error
        if not goes_on:
            self._file.unlink(missing_ok=True)
            (self.out / ".inputs").unlink(missing_ok=True)
            shutil.rmtree(self.servers, ignore_errors=True)

    def _try_folder(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        probe = self.out / ".probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    def _open(self, name: str) -> IO[str]:
        path = self.out / name
        opened = self.enter_context(path.open("a", encoding="utf-8", errors="backslashreplace"))
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system frees it with the process
        # A killed run may have left half a line.
        whole = path.read_bytes().rpartition(b"\n")
        with path.open("r+b") as file:
            file.truncate(len(whole[0]) + len(whole[1]))
        return opened

    def _undo(self, made: bool) -> None:
        """Leave nothing of a run that did not begin: the next command may be another one."""
        if (
            self._taken
            or not self.out.is_dir()
            or self._file.exists()
            or (self.out / "summary.json").exists()
        ):
            return
        shutil.rmtree(self.servers, ignore_errors=True)
        with suppress(OSError):  # a file system that is read only refuses what is not there too
            for name in ("rejected.jsonl", "dead.jsonl", ".inputs"):
                (self.out / name).unlink(missing_ok=True)
            if made:
                self.out.rmdir()


def check_folder(out: Path) -> None:
    """Raise UserError if a folder holds something else than a run that can go on."""
    if (out / "run.json").is_file():
        return
    if (out / "summary.json").exists():
        raise UserError(f"{out} holds a finished run: choose another folder")
    if out.exists() and (not out.is_dir() or not _is_unbegun(out)):
        raise UserError(f"{out} is not an empty folder: choose another; a run does not mix results")


def _is_unbegun(out: Path) -> bool:
    """Whether the folder is empty, or of a run that has no outcomes yet."""
    return all(
        each.name in _UNBEGUN and (each.suffix != ".jsonl" or each.stat().st_size == 0)
        for each in out.iterdir()
    )


def _rejected(rejected: RejectedPair) -> dict[str, Any]:
    return {
        "stage": rejected.stage,
        "reason": rejected.reason.value,
        "detail": rejected.detail,
        **_pair(rejected.record),
        # What captioners took belongs to the run's sum, also after an interruption. It comes last:
        # it is long, and nothing that a person looks for.
        **_took(rejected.record),
    }


def _dead(letter: DeadLetter) -> dict[str, Any]:
    said = next((each.value for each in letter.headers if each.key == SOURCE_ERROR_HEADER), None)
    text = (letter.value or b"").decode("utf-8", "backslashreplace")
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    known = record if isinstance(record, dict) and "pair_id" in record else {"text": text}
    return {
        "stage": letter.stage,
        # What the source said, who saw the file; to ingest a path that names no file is no URL.
        "error": said.decode("utf-8", "replace") if said else letter.error,
        **_pair(known),
    }


def _took(record: Mapping[str, Any]) -> dict[str, Any]:
    took = [trace for trace in provenance_of(record).stages if trace.captioners]
    if not took:
        return {}
    return {"provenance": Provenance(stages=tuple(took)).model_dump(mode="json")}


def _pair(record: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a person which pair it is; never the bytes of an image."""
    image = record.get("image")
    image = image if isinstance(image, dict) else {}
    address = image.get("crawled_url") or image.get("url")
    if address is None:
        address = (record.get("extra") or {}).get("image_url")
    return {
        "text": str(record.get("text") or "")[:_SHOWN_CHARS],
        "image": address,
        "pair_id": record.get("pair_id"),
    }
