"""`kaption demo`: the pipeline on a rendered, noisy crawl whose truth is known."""

import json
import re
from pathlib import Path

from PIL import Image

from kaption.workers.report.gallery import read_cards
from support.documents import ROOT, blocks
from support.program import kaption
from support.reporting import agrees

PAIRS = 100


def shape(text: str) -> str:
    """The words, with a mark in place of each number."""
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", text).split())


def test_a_noisy_crawl_gets_the_right_outcomes(tmp_path: Path) -> None:
    # Given a rendered crawl with every kind of noise, served over HTTP
    out = tmp_path / "out"
    # When the demo runs it
    ended = kaption("demo", "--out", out, "--pairs", str(PAIRS), "--seed", "3")
    # Then every pair has one outcome, and nearly all are right (a cropped copy may be missed)
    assert ended.returncode == 0, ended.stderr
    right = re.search(rf"judged right: (\d+) of {PAIRS}", ended.stderr)
    assert right is not None, ended.stderr
    assert int(right[1]) >= 0.95 * PAIRS, ended.stderr
    # And the kept captions are better aligned than the alt texts
    summary = json.loads((out / "summary.json").read_text())
    assert summary["score_after"] > summary["score_before"] + 0.05
    assert summary["best_caption"]["vlm"] > 0
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.width > 1000
    # And the report shows the numbers of the summary, and the image of each copy
    page = (out / "report.html").read_text("utf-8")
    assert summary["flow"][0]["came"] == summary["published"] == PAIRS
    assert agrees(page, summary)
    assert len(page) < 5_000_000 * PAIRS / 300
    cards = [*read_cards(out / "sample.jsonl")]
    assert len(cards) == PAIRS
    copies = [card for card in cards if card.copy_of]
    assert all(card.kept_blob for card in copies)
    # And of a copy its own image too, unless the record brought it along: which of two equal
    # pictures comes first is chance, and only what an address gave is remembered
    assert all(card.blob for card in copies if card.address)
    # And the README shows lines as they are printed
    (shown,) = (each.text for each in blocks(ROOT / "README.md") if "judged right" in each.text)
    printed = shape(ended.stderr)
    assert [line for line in shown.splitlines() if shape(line) not in printed] == []
    # And the data set can say where it comes from
    sources = json.loads(kaption("sources", out / "store", "--to", "json").stdout)
    assert (sources["pairs"], sources["exact"]) == (summary["clean"], True)
    assert sources["rejected"] == summary["rejected"]
    assert sources["opt_outs"]["honoured"]["any kind"] > 0
