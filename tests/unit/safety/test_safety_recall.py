"""The command that measures a check on one's own folders, with harmless images."""

import random
import sys
from pathlib import Path

import pytest
from PIL import Image
from scipy.stats import binomtest

from support.ingest_bench import image_bytes

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _bench_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    from bench import safety_recall

    monkeypatch.setattr(sys, "argv", ["safety_recall", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "200")
    safety_recall.main()


def scenes(into: Path, count: int) -> Path:
    into.mkdir()
    for at in range(count):
        (into / f"{at}.png").write_bytes(image_bytes(60 + at))
    return into


def papers(into: Path, kind: str, count: int) -> Path:
    from tools.evaluate.papers import PAPERS, photographed

    into.mkdir()
    drawn = random.Random(3)
    for at in range(count):
        photographed(PAPERS[kind](drawn), drawn).save(into / f"{at}.jpg", quality=90)
    return into


def rows(printed: str) -> dict[str, list[str]]:
    lines = [line.rsplit(maxsplit=5) for line in printed.splitlines()[1:]]
    return {name: numbers for name, *numbers in lines if len(numbers) == 5}


def test_each_folder_has_its_share_above_each_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given papers that the check finds, harmless images, and a folder with two of each
    found = papers(tmp_path / "papers", "passports", 2)
    harmless = scenes(tmp_path / "scenes", 4)
    mixed = papers(tmp_path / "mixed", "passports", 2)
    scenes(mixed / "below", 2)

    # When they are measured
    run(monkeypatch, "documents", found, harmless, mixed)

    # Then the rows tell which share is above, with Wilson's interval and the size of the sample
    told = rows(capsys.readouterr().out)
    for folder, above, count in ((found, 2, 2), (harmless, 0, 4), (mixed, 2, 4)):
        value, low, _, high, sample = told[f"{folder}: above 0.5"]
        interval = binomtest(above, count).proportion_ci(0.95, method="wilson")
        assert float(value) == above / count
        assert float(low) == pytest.approx(interval.low, abs=6e-4)
        assert float(high) == pytest.approx(interval.high, abs=6e-4)
        assert int(sample) == count


def test_files_that_ingest_refuses_are_told_and_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scenes(tmp_path / "scenes", 3)
    (folder / "notes.txt").write_text("not an image")
    Image.new("RGB", (8, 8)).save(folder / "icon.png")

    run(monkeypatch, "nsfw", folder)

    printed = capsys.readouterr().out
    assert rows(printed)[f"{folder}: above 0.2"] == ["0.000", "0.000", "to", "0.561", "3"]
    assert "left out, as ingest refuses them: too_small 1, not_an_image 1" in printed


def test_faces_are_counted_and_a_folder_without_images_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    folder = scenes(tmp_path / "scenes", 2)

    run(monkeypatch, "faces", folder)

    assert rows(capsys.readouterr().out)[f"{folder}: with a face"][0] == "0.000"
    with pytest.raises(SystemExit, match=r"no image in .*empty that ingest would take"):
        run(monkeypatch, "faces", empty)
