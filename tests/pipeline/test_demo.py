"""`kaption demo`: the pipeline on a rendered, noisy crawl whose truth is known."""

import json
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image

PAIRS = 100


def test_a_noisy_crawl_gets_the_right_outcomes(tmp_path: Path) -> None:
    # Given a rendered crawl with every kind of noise, served over HTTP
    program = Path(sys.executable).with_name("kaption")
    out = tmp_path / "out"
    # When the demo runs it
    ended = subprocess.run(
        [program, "demo", "--out", out, "--pairs", str(PAIRS), "--seed", "3"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
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
